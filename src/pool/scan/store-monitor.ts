/**
 * Monitors stores: a full scan first, then incremental scans that open only changed files.
 *
 * Scan passes run every `everyMs`, soon after the kernel reports a changed directory, and on request (`refresh`).
 * What no look can see without opening files is caught by the full scan every `fullEveryMs`: blocks moved by
 * defragmentation, shared by deduplication, or shared with files outside of the directories.
 */
import { asPlimsollError, requireOptions, requirePaths, runCooperatively } from '#base';
import { type DirectoryEvent, DirectoryWatches, machinesWith, type MachineFiles, type WatchLack } from '#host';
import type { Finding } from '#wire';
import {
  cameBack,
  retargeted,
  type LinkTargets,
  linkFindings,
  resolveDirectories,
  scanFailed,
  slowness,
  unwatched,
} from './monitor-findings.ts';
import { changeInSteps, type StoreSnapshot, storeSnapshot, machinesOf, type StoreChange, vanishedSnapshot } from './store-snapshot.ts';
import { DEFAULT_CONCURRENCY, refuseFile } from './scan.ts';
import type { StorePolicy } from './store.ts';
import { type ImageStorage, type Looked, Survey } from './survey.ts';

export interface StoreMonitorOptions {
  readonly directories: readonly (string | Buffer)[];
  /** Further directories (real paths) in which references may be followed. */
  readonly allowDirectories?: readonly string[];
  /** The policy of a store, by the named directories that lie on it: no floor, and every file may be written, where it is left out. */
  readonly policyOf?: (directories: readonly string[]) => StorePolicy;
  /** Files that are raw for certain. */
  readonly rawFiles?: readonly (string | Buffer)[];
  /** Longest time between two looks. */
  readonly everyMs?: number;
  /** Time from one full scan to the next. */
  readonly fullEveryMs?: number;
  /** Most directories that are watched; 0: none. */
  readonly mostWatches?: number;
}

export interface ScanProgress {
  /** The id of the store that is being read, where it is known. */
  readonly store: string | undefined;
  readonly filesSeen: number;
  readonly imagesRead: number;
  readonly ended: boolean;
}

export type ScannedListener = (store: StoreSnapshot, changed: readonly string[], gone: readonly string[]) => void;
export type ProgressListener = (progress: ScanProgress) => void;

const SECOND = 1000;
const DEFAULT_EVERY_MS = 60 * SECOND;
const DEFAULT_FULL_EVERY_MS = 3600 * SECOND;
/** Delay from a change to the scan pass: shorter for new and deleted names, since a request usually follows the creation of an image. */
const NAMES_DELAY_MS = 500;
const CONTENT_DELAY_MS = SECOND;
/** Machines write all the time: of that, looks take at most the twentieth part; of what happens to names, the fifth. */
const CONTENT_REST = 19;
const NAMES_REST = 4;
const PROGRESS_EVERY_MS = 200;
/** That a store was away is said so long. */
const REMEMBERED_ABSENCE_MS = 24 * 3600 * SECOND;

const LENIENT: StorePolicy = { floor: 0, neverWritten: [], exclude: [], assume: [] };

interface PlannedLook {
  readonly promise: Promise<void>;
  everything: boolean;
}

interface Absence {
  readonly fromMs: number;
  /** undefined: still away. */
  untilMs: number | undefined;
}

export class StoreMonitor {
  readonly #options: StoreMonitorOptions;
  readonly #everyMs: number;
  readonly #fullEveryMs: number;
  readonly #surveyor: Survey;
  readonly #watches: DirectoryWatches;
  readonly #scanned = new Set<ScannedListener>();
  readonly #progress = new Set<ProgressListener>();
  readonly #stopping = new AbortController();
  readonly #absences = new Map<string, Absence>();
  /** What the kernel told while a look went on. */
  readonly #told = new Set<DirectoryEvent>();
  #led: LinkTargets = new Map();
  #stores = new Map<string, StoreSnapshot>();
  #looked: Looked | undefined;
  #running: Promise<void> | undefined;
  #next: PlannedLook | undefined;
  #timer: { readonly handle: NodeJS.Timeout; readonly atMs: number } | undefined;
  #lack: WatchLack;
  #lastMs = 0;
  #beganAt = Number.NEGATIVE_INFINITY;
  #lastFullAt = Number.NEGATIVE_INFINITY;
  #failure: Finding | undefined;

  /** Throws: usage, for what the types rule out. */
  constructor(options: StoreMonitorOptions) {
    requireOptions('StoreMonitor', options);
    requirePaths('StoreMonitor', 'directories', options.directories);
    const { allowDirectories = [], rawFiles = [], policyOf = () => LENIENT, everyMs, fullEveryMs } = options;
    this.#options = options;
    this.#everyMs = everyMs ?? DEFAULT_EVERY_MS;
    this.#fullEveryMs = fullEveryMs ?? DEFAULT_FULL_EVERY_MS;
    this.#surveyor = new Survey(options.directories, {
      policyOf,
      allowDirectories,
      rawFiles,
      concurrency: DEFAULT_CONCURRENCY,
      remembers: true,
    });
    this.#watches = new DirectoryWatches((event) => this.#onEvent(event), options.mostWatches);
  }

  /**
   * The full scan; when it is over the stores are known and kept. `signal` ends the monitor, as `close` does.
   *
   * Throws: usage, NOT_A_DIRECTORY; the signal's reason, when aborted before the scan is over.
   */
  async start(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    for (const directory of this.#options.directories) refuseFile(directory);
    signal?.addEventListener('abort', () => this.#stopping.abort(signal.reason), { once: true });
    this.#stopping.signal.addEventListener('abort', () => this.#rest(), { once: true });
    await this.refresh();
  }

  /**
   * Looks at what changed. All who ask while a look goes on share one that begins when it is over, so that each gets one that
   * began after it asked. All stores are looked at, whichever is asked for. `everything`: takes nothing over from before.
   *
   * Throws: the reason why the monitor ended; kind `bug`, when a look failed: the stores are then as before.
   */
  refresh(_store?: string, { everything = false }: { everything?: boolean } = {}): Promise<void> {
    if (this.#stopping.signal.aborted) return Promise.reject(this.#stopping.signal.reason);
    if (this.#next !== undefined) {
      this.#next.everything ||= everything;
      return this.#next.promise;
    }
    if (this.#running === undefined) return this.#run(everything);
    const planned: { everything: boolean; promise: Promise<void> } = { everything, promise: Promise.resolve() };
    planned.promise = this.#running
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        return this.#run(planned.everything);
      });
    this.#next = planned;
    return planned.promise;
  }

  /** When the look began that the stores are from, by performance.now(): of what happened later it may have seen nothing. */
  get beganAt(): number {
    return this.#beganAt;
  }

  /** Those that are present, then those that vanished. */
  stores(): readonly StoreSnapshot[] {
    return [...this.#stores.values()].sort((a, b) => Number(a.presence === 'vanished') - Number(b.presence === 'vanished'));
  }

  /** Findings outside of any store: unreadable or redirected directories, watches, slow scans. */
  findings(): readonly Finding[] {
    const { errors = [], directories = [] } = this.#looked ?? {};
    return [
      ...(this.#failure === undefined ? [] : [this.#failure]),
      ...errors.map((error): Finding => ({ level: 'critical', code: error.code, message: `${error.path}: ${error.message}.` })),
      ...linkFindings(this.#led),
      ...slowness(this.#lastMs, this.#everyMs),
      ...unwatched(this.#lack, this.#watches.count, directories.length, this.#everyMs),
    ];
  }

  /** After each look, once for each store, whether or not something changed. Returns what ends it. */
  onScanned(listener: ScannedListener): () => void {
    this.#scanned.add(listener);
    return () => this.#scanned.delete(listener);
  }

  /** Now and then while files are read, and once at the end. Returns what ends it. */
  onProgress(listener: ProgressListener): () => void {
    this.#progress.add(listener);
    return () => this.#progress.delete(listener);
  }

  /** Ends watching and looking; what was known can still be asked. May be called twice. */
  async close(): Promise<void> {
    this.#stopping.abort(new Error('The monitor is closed'));
    this.#rest();
    await Promise.allSettled([this.#running, this.#next?.promise]);
  }

  #rest(): void {
    this.#watches.close();
    clearTimeout(this.#timer?.handle);
    this.#timer = undefined;
  }

  #run(everything: boolean): Promise<void> {
    if (this.#stopping.signal.aborted) return Promise.reject(this.#stopping.signal.reason);
    clearTimeout(this.#timer?.handle);
    this.#timer = undefined;
    const running = this.#look(everything || performance.now() - this.#lastFullAt >= this.#fullEveryMs).finally(() => {
      this.#running = undefined;
      this.#plan(this.#everyMs);
      // Whether the look saw it already is not known.
      for (const event of this.#told) this.#planFor(event);
      this.#told.clear();
    });
    this.#running = running;
    return running;
  }

  /** The earlier of two plans stands. */
  #plan(delayMs: number): void {
    if (this.#stopping.signal.aborted) return;
    const atMs = performance.now() + delayMs;
    if (this.#timer !== undefined && this.#timer.atMs <= atMs) return;
    clearTimeout(this.#timer?.handle);
    const handle = setTimeout(() => {
      this.#timer = undefined;
      // Reported by findings(): no caller here could handle an error.
      this.refresh().catch(() => {});
    }, delayMs);
    this.#timer = { handle, atMs };
  }

  #onEvent(event: DirectoryEvent): void {
    if (this.#running === undefined) this.#planFor(event);
    else this.#told.add(event);
  }

  #planFor(event: DirectoryEvent): void {
    const isNames = event === 'names';
    this.#plan(Math.max(isNames ? NAMES_DELAY_MS : CONTENT_DELAY_MS, this.#lastMs * (isNames ? NAMES_REST : CONTENT_REST)));
  }

  async #look(everything: boolean): Promise<void> {
    const { signal } = this.#stopping;
    const began = performance.now();
    try {
      const places = await resolveDirectories(this.#options.directories);
      const looked = await this.#survey(everything, signal);
      const found = await machinesIn(looked);
      signal.throwIfAborted();
      this.#lastMs = performance.now() - began;
      if (everything) this.#lastFullAt = began;
      this.#failure = undefined;
      this.#looked = looked;
      this.#led = retargeted(this.#led, places);
      this.#lack = this.#watches.cover(looked.directories.filter(({ isLocal }) => isLocal));
      await this.#keep(looked, found, began);
    } catch (thrown) {
      if (signal.aborted) throw signal.reason;
      const error = asPlimsollError(thrown, 'scan the stores');
      this.#failure = scanFailed(error);
      throw error;
    }
  }

  async #survey(everything: boolean, signal: AbortSignal): Promise<Looked> {
    const look = this.#surveyor.look({ signal, everything });
    let saidAt = performance.now();
    let step = await look.next();
    for (; step.done !== true; step = await look.next()) {
      if (step.value.type !== 'progress' || performance.now() - saidAt < PROGRESS_EVERY_MS) continue;
      saidAt = performance.now();
      const { store, filesSeen, imagesRead } = step.value;
      this.#tellProgress({ store, filesSeen, imagesRead, ended: false });
    }
    const { filesSeen, imagesRead } = step.value;
    this.#tellProgress({ store: undefined, filesSeen, imagesRead, ended: true });
    return step.value;
  }

  #tellProgress(progress: ScanProgress): void {
    for (const listener of this.#progress) listener(progress);
  }

  /** Takes over what a look found; what it did not find stays, marked, if a named directory led there. */
  async #keep(looked: Looked, found: readonly MachineFiles[], began: number): Promise<void> {
    const before = this.#stores;
    const seen = { scannedAtMs: Date.now(), scanSeconds: this.#lastMs / SECOND };
    const stores = new Map<string, StoreSnapshot>();
    for (const one of looked.stores) {
      const { id } = one.report;
      const machines = machinesOf(one.storage, found, before.get(id)?.machines);
      stores.set(id, storeSnapshot(one, { ...seen, machines }, this.#returned(id, seen.scannedAtMs)));
    }
    for (const [id, store] of before) {
      if (stores.has(id) || store.directories.length === 0) continue;
      if (store.presence === 'vanished') stores.set(id, store);
      else {
        this.#absences.set(id, { fromMs: seen.scannedAtMs, untilMs: undefined });
        stores.set(id, vanishedSnapshot(store, looked));
      }
    }
    const changes = new Map<string, StoreChange>();
    for (const [id, store] of stores) changes.set(id, await runCooperatively(changeInSteps(before.get(id), store)));
    this.#stores = stores;
    this.#beganAt = began;
    for (const [id, store] of stores) {
      const { changed, gone } = changes.get(id) as StoreChange;
      for (const listener of this.#scanned) listener(store, changed, gone);
    }
  }

  /** What is said of a store that was away for a time. */
  #returned(id: string, nowMs: number): readonly Finding[] {
    const absence = this.#absences.get(id);
    if (absence === undefined) return [];
    absence.untilMs ??= nowMs;
    if (nowMs - absence.untilMs > REMEMBERED_ABSENCE_MS) this.#absences.delete(id);
    return [cameBack(absence.fromMs, absence.untilMs)];
  }
}

/** The VMs that have an image of any store open; empty unless processes are inspected. */
async function machinesIn({ stores }: Looked): Promise<readonly MachineFiles[]> {
  const sought = stores.map(({ storage }) => inodesOf(storage));
  return machinesWith((inode) => sought.some((inodes) => inodes.has(inode))).catch(() => []);
}

const inodesByStorage = new WeakMap<ImageStorage, ReadonlySet<string>>();

function inodesOf(storage: ImageStorage): ReadonlySet<string> {
  const known = inodesByStorage.get(storage);
  if (known !== undefined) return known;
  const made = new Set([...storage.values()].flatMap(({ identity }) => identity?.split(':')[1] ?? []));
  inodesByStorage.set(storage, made);
  return made;
}
