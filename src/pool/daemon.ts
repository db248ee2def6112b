/** The `Watch` of a running daemon: what the keeper sees, the ledger holds and the history remembers, put together. */
import { realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { asPlimsollError, PlimsollError } from '#base';
import { filesystemOf } from '#host';
import type {
  AdmissionDecision,
  Alert,
  Finding,
  ImagePage,
  ImageSample,
  ImageView,
  MovePlan,
  Reservation,
  ServeEvent,
  StatusReport,
  StoreRules,
  StoreSample,
  StoreView,
} from '#wire';
import { admissionMessage, admits, sumOf } from './admission.ts';
import { HeldSpace } from './held-space.ts';
import type { History } from './history.ts';
import { ImageIndex } from './image-views.ts';
import { Keeper, type KeptStore, type Look } from './keeper.ts';
import type { Ledger } from './ledger.ts';
import { planStoreMoves } from './move-groups.ts';
import { openState } from './state.ts';
import { StoreRecord } from './store-record.ts';
import type { HistoryQuery, ImageQuery, SizedRequest, SizedReservationRequest, Watch } from './watch.ts';

/** Directories that are watched under the same rules. */
export interface StoreOrder {
  readonly directories: readonly string[];
  readonly rules: StoreRules;
}

export interface DaemonOptions {
  readonly stores: readonly StoreOrder[];
  /** Where ledger and history lie. */
  readonly stateDirectory: string;
  readonly version: string;
  readonly allowDirectories?: readonly string[] | undefined;
  readonly rawFiles?: readonly string[] | undefined;
  /** Between two looks at what changed, and between two at everything. */
  readonly everyMs?: number | undefined;
  readonly fullEveryMs?: number | undefined;
}

const COMPACT_EVERY_MS = 10 * 60 * 1000;
/** More changed images than these in one look are told as one event of their store. */
const MAX_IMAGE_EVENTS = 100;

/** Watches the stores from now on; the first look at them is over when this answers. Throws: usage, io, conflict, unsupported. */
export async function openDaemon(options: DaemonOptions): Promise<Watch> {
  const state = await openState(options.stateDirectory);
  try {
    const daemon = new Daemon(options, state);
    await daemon.start();
    return daemon;
  } catch (error) {
    await state.close();
    throw error;
  }
}

class Daemon implements Watch {
  readonly #options: DaemonOptions;
  readonly #ledger: Ledger;
  readonly #history: History;
  readonly #keeper: Keeper;
  readonly #records = new Map<string, StoreRecord>();
  readonly #held = new HeldSpace();
  readonly #listeners = new Set<(event: ServeEvent) => void>();
  readonly #startedAt = new Date().toISOString();
  readonly #findings: Finding[];
  /** Made anew when an image changed. */
  #index: ImageIndex | undefined;

  constructor(options: DaemonOptions, { ledger, history, findings }: State) {
    this.#options = options;
    this.#ledger = ledger;
    this.#history = history;
    this.#findings = findings;
    this.#keeper = new Keeper({
      directories: options.stores.flatMap(({ directories }) => directories),
      allowDirectories: options.allowDirectories,
      rawFiles: options.rawFiles,
      policyOf: (directories) => this.#orderOf(directories).rules,
      everyMs: options.everyMs,
      fullEveryMs: options.fullEveryMs,
    });
  }

  /** Until the first look at everything is over. */
  async start(): Promise<void> {
    this.#keeper.onLook((look) => this.#take(look));
    this.#keeper.onProgress((progress) => this.#tell({ type: 'scan', ...progress }));
    await this.#keeper.start();
    this.#compacting = setInterval(() => void this.#compact(), COMPACT_EVERY_MS);
    this.#compacting.unref();
  }

  // What is asked.

  status(): StatusReport {
    const { version } = this.#options;
    return { schema: 'plimsoll.status/1', version, startedAt: this.#startedAt, stores: this.stores(), findings: this.#allFindings() };
  }

  stores(): readonly StoreView[] {
    const now = Date.now();
    return [...this.#records.values()].map((record) => record.view(this.#reserved(record.id), now));
  }

  store(id: string): StoreView {
    return this.#record(id).view(this.#reserved(id), Date.now());
  }

  images(query: ImageQuery): ImagePage {
    if (query.store !== undefined) this.#record(query.store);
    return this.#images().page(query);
  }

  image(id: string): ImageView {
    const found = this.#images().get(id);
    if (found === undefined) throw unknown('IMAGE_UNKNOWN', 'find image', id, 'the id of an image that a store has');
    return found;
  }

  storeHistory(id: string, query: HistoryQuery): readonly StoreSample[] {
    this.#record(id);
    return this.#history.storeSamples(id, query);
  }

  imageHistory(id: string, query: HistoryQuery): readonly ImageSample[] {
    this.image(id);
    return this.#history.imageSamples(id, query);
  }

  alerts(): readonly Alert[] {
    return [...this.#records.values()].flatMap(({ alerts }) => alerts);
  }

  reservations({ store, ended }: { readonly store?: string; readonly ended: boolean }): readonly Reservation[] {
    if (store !== undefined) this.#record(store);
    this.#expire();
    return this.#ledger.list(store === undefined ? { ended } : { store, ended });
  }

  moves(store: string, target: string | undefined): MovePlan {
    const record = this.#record(store);
    const now = Date.now();
    const to = target === undefined ? undefined : this.#record(target);
    return planStoreMoves({
      from: { record, facts: record.facts(this.#reserved(record.id), now) },
      to: to === undefined ? undefined : { record: to, facts: to.facts(this.#reserved(to.id), now) },
    });
  }

  // What decides.

  async admit(request: SizedRequest): Promise<AdmissionDecision> {
    const record = await this.#lookAgain(request.store);
    return this.#decide(record, request, this.#reserved(record.id));
  }

  async reserve(request: SizedReservationRequest): Promise<AdmissionDecision> {
    const record = await this.#lookAgain(request.store);
    const path = request.path === undefined ? null : await this.#realName(request.path);
    const { key, bytes, ttlSeconds } = request;
    // From here to the end of the transaction nothing else runs: what is decided is what is written.
    const { outcome, reservation } = this.#ledger.reserve(
      { key, store: record.id, bytes, path, ttlSeconds },
      Date.now(),
      (_held, own) => {
        const others = this.#ledger.held(record.id).filter((one) => one.key !== own?.key);
        const decision = this.#decide(record, request, this.#held.sumOf(others));
        return { grant: decision.admitted === true || request.overcommit === true, outcome: decision };
      },
    );
    if (reservation !== undefined) this.#tell({ type: 'reservation', reservation });
    this.#republish(record);
    return { ...outcome, reservation: reservation ?? null };
  }

  release(key: string): Reservation {
    const reservation = this.#ledger.release(key, Date.now());
    this.#ended(reservation);
    const record = this.#records.get(reservation.store);
    if (record !== undefined) this.#republish(record);
    return reservation;
  }

  #decide(record: StoreRecord, request: SizedRequest, reserved: number): AdmissionDecision {
    const facts = record.facts(reserved, Date.now());
    const { bytes, policy, idleShare } = request;
    const sum = sumOf(facts, record.rules, {
      bytes,
      ...(policy === undefined ? {} : { policy }),
      ...(idleShare === undefined ? {} : { idleShare }),
    });
    const admitted = admits(sum, facts);
    return {
      schema: 'plimsoll.admission/1',
      admitted,
      store: record.id,
      bytes,
      sum,
      message: admissionMessage(sum, facts, bytes),
      scannedAt: new Date(record.kept.scannedAtMs).toISOString(),
      reservation: null,
    };
  }

  /** The store, after whatever has changed on it until now is counted. */
  async #lookAgain(store: string): Promise<StoreRecord> {
    const id = (await this.#resolve(store)).id;
    await this.#keeper.refresh(id);
    return this.#record(id);
  }

  /** By its id, or by a path on it, which need not be there yet. */
  async #resolve(store: string): Promise<StoreRecord> {
    if (!isAbsolute(store)) return this.#record(store);
    for (let path = store; ; path = dirname(path)) {
      try {
        return this.#record((await filesystemOf(path)).id);
      } catch (thrown) {
        const error = asPlimsollError(thrown, 'find store', path);
        if (error.kind !== 'not-found' || error.code === 'STORE_UNKNOWN' || path === '/') throw error;
      }
    }
  }

  /** As the keeper will name the image when it is there. */
  async #realName(path: string): Promise<string> {
    if (!isAbsolute(path)) {
      throw new PlimsollError('usage', 'PATH_RELATIVE', { doing: 'reserve space', field: 'path', found: path, expected: 'an absolute path' });
    }
    const directory = await realpath(dirname(path)).catch((error: unknown) => {
      throw asPlimsollError(error, 'reserve space', path);
    });
    return join(directory, basename(path));
  }

  // What happens.

  async rescan(store?: string): Promise<void> {
    if (store !== undefined) this.#record(store);
    await this.#keeper.refresh(store, { everything: true });
  }

  subscribe(listener: (event: ServeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    clearInterval(this.#compacting);
    this.#listeners.clear();
    await this.#keeper.close();
    this.#history.close();
    this.#ledger.close();
  }

  /** What the keeper found: counted, remembered, told. */
  #take({ store, changed, gone }: Look): void {
    const now = Date.now();
    const id = store.report.id;
    const known = this.#records.get(id);
    const record = known ?? new StoreRecord(store, this.#orderOf(store.directories).rules, this.#remembered(id, now));
    this.#records.set(id, record);
    record.look(store, { changed, gone }, now);
    this.#index = undefined;
    this.#expire();
    this.#meet(record, now);
    this.#remember(record, now);
    this.#judge(record, now);
    if (known === undefined) return;
    if (changed.size <= MAX_IMAGE_EVENTS)
      for (const path of changed) {
        const image = record.imageAt(path);
        if (image !== undefined) this.#tell({ type: 'image', image });
      }
    if (gone.length <= MAX_IMAGE_EVENTS)
      for (const path of gone) this.#tell({ type: 'image-gone', store: id, id: imageIdOf(id, path), path });
  }

  #judge(record: StoreRecord, now: number): void {
    const { raised, cleared } = record.judge(this.#reserved(record.id), now);
    for (const alert of cleared) this.#tell({ type: 'alert', alert, state: 'cleared' });
    for (const alert of raised) this.#tell({ type: 'alert', alert, state: 'raised' });
    this.#tell({ type: 'store', store: record.view(this.#reserved(record.id), now) });
  }

  #republish(record: StoreRecord): void {
    this.#judge(record, Date.now());
  }

  #meet(record: StoreRecord, now: number): void {
    const appeared = (path: string): Appeared | undefined => {
      const image = record.imageAt(path);
      if (image === undefined || image.error !== undefined || image.commitment === null) return undefined;
      return { commitment: image.commitment, openForWriting: image.openForWriting === true };
    };
    for (const { key } of this.#held.look(this.#ledger.held(record.id), appeared, now)) this.#ended(this.#ledger.meet(key, now));
  }

  #expire(): void {
    for (const reservation of this.#ledger.expire(Date.now())) this.#ended(reservation);
  }

  #ended(reservation: Reservation): void {
    this.#held.forget(reservation.key);
    this.#tell({ type: 'reservation', reservation });
  }

  #remember(record: StoreRecord, atMs: number): void {
    if (record.kept.presence === 'vanished') return;
    this.#history.append({ atMs, store: record.sample(this.#reserved(record.id)), images: record.images });
  }

  async #compact(): Promise<void> {
    await this.#history.compact(Date.now());
  }

  #remembered(id: string, now: number): RememberedGrowth {
    const from = now - GROWTH_WINDOW_MS;
    const points = this.#history.storePoints(id, from);
    return { ...points, images: this.#history.imagePoints(id, from) };
  }

  #tell(event: ServeEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #reserved(id: string): number {
    return this.#held.sumOf(this.#ledger.held(id));
  }

  #images(): ImageIndex {
    this.#index ??= new ImageIndex([...this.#records.values()].flatMap(({ images }) => images));
    return this.#index;
  }

  #record(id: string): StoreRecord {
    const found = this.#records.get(id);
    if (found === undefined) throw unknown('STORE_UNKNOWN', 'find store', id, 'the id of a store that is watched, or a path on one');
    return found;
  }

  #orderOf(directories: readonly string[]): StoreOrder {
    const found = this.#options.stores.find((order) => order.directories.some((one) => directories.includes(one)));
    return found ?? (this.#options.stores[0] as StoreOrder);
  }
}
