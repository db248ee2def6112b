/** One look at directories: walks them, reads what is new or changed, and takes over what is as it was. */
import { asPlimsollError, pauseDue, PlimsollError, runCooperatively, type SerializedError } from '#base';
import {
  type PathStamp,
  type HostCache,
  identityOfFile,
  isNoDirectory,
  pathStampOf,
  markOfRemote,
  nameText,
  type NamelessFile,
  openWriters,
  type OpenWriters,
  realpaths,
  removedLoopFiles,
  type ResolvedPath,
  statPath,
  walkDirectories,
  type WalkedDirectory,
  type WalkedPath,
} from '#host';
import { type ExamineOptions, examineFile } from '#sandbox';
import type { Finding, ImageReport } from '#wire';
import { liesIn, changedSharedRanges } from './flag-changes.ts';
import { type Claim, type ScanError, StoreNotes } from './gather.ts';
import { type PathMatcher, pathMatcher } from './path-pattern.ts';
import { keptSighting, referencesHold, type CachedExamination, sightingOf, stillHolds } from './sighting.ts';
import type { Looked, ReadClaimed, SurveyEvent, SurveyMemory, SurveyOptions } from './survey.ts';

export interface LookOptions extends SurveyOptions {
  readonly signal: AbortSignal | undefined;
  /** Takes nothing over from before. */
  readonly everything: boolean;
  readonly cache: HostCache;
  /** Of the look before; read until `remember`. */
  readonly memory: SurveyMemory;
}

/** What a look saw. */
export interface Seen extends Pick<Looked, 'directories' | 'unreachable' | 'filesSeen' | 'imagesRead'> {
  /** In the order of the walk. */
  readonly sightings: readonly CachedExamination[];
  readonly notes: StoreNotes;
  readonly hasChanged: boolean;
  /** Removed files of the stores that a process can still write. */
  readonly nameless: readonly CachedExamination[];
  /** Who can write which file; undefined where the processes could not be listed. */
  readonly writers: OpenWriters | undefined;
}

/** Marks asked for at a time, where a server answers. */
const REMOTE_MARKS = 64;
/** References asked about at a time. */
const REFERENCES = 16;

export class Look {
  readonly #named: readonly (string | Buffer)[];
  readonly #options: LookOptions;
  readonly #notes: StoreNotes;
  /** Declared raw, by identity, with the name that was given. */
  readonly #rawFiles = new Map<string, string>();
  /** One for each name, in the order of the walk; undefined while it is read. */
  readonly #sightings: (CachedExamination | undefined)[] = [];
  /** Index in `#sightings` of each that was taken over. */
  readonly #takenOver = new Set<number>();
  readonly #identities = new Set<string>();
  /** Read by this look and without the signature of a container, with their lengths. */
  readonly #raw = new Map<string, number>();
  readonly #directories: Looked['directories'][number][] = [];
  readonly #unreachable = new Map<string, SerializedError>();
  readonly #claims = new Map<string, ReadClaimed>();
  readonly #excluded = new Map<string, PathMatcher>();
  readonly #places = new Map<string, Promise<ResolvedPath>>();
  readonly #inFlight = new Set<Promise<void>>();
  readonly #failures: unknown[] = [];
  #allowedPlaces = '';
  /** All filesystems that the walk enters are local ones. */
  #isLocal = false;
  #filesSeen = 0;
  #imagesRead = 0;
  #finished: ImageEvent[] = [];
  #store: string | undefined;

  constructor(directories: readonly (string | Buffer)[], options: LookOptions) {
    this.#named = directories;
    this.#options = options;
    this.#notes = new StoreNotes(options.cache);
  }

  async *events(): AsyncGenerator<SurveyEvent, Seen> {
    await this.#nameStores();
    await this.#identifyRawFiles();
    if (this.#options.remembers) this.#allowedPlaces = JSON.stringify(await realpaths(this.#allowed()));
    this.#isLocal = [...this.#notes.stores.values()].every(({ filesystem }) => filesystem.kind !== 'other');
    try {
      yield* this.#walk();
      yield* this.#readAgain(await this.#unheldReferences());
      yield* this.#readAgain(await this.#turnedFlags());
    } finally {
      await Promise.allSettled(this.#inFlight);
    }
    // After the images: what was removed while they were read is seen here.
    const writers = await openWriters({ mappings: this.#declaresNeverWritten() }).catch(() => undefined);
    const places = (await realpaths(this.#named)).map((place) => (place.endsWith('/') ? place : `${place}/`));
    const nameless = await this.#readNameless(writers?.nameless ?? [], places);
    for (const file of removedLoopFiles()) {
      if (places.some((place) => file.formerPath.startsWith(place))) await this.#notes.noteRemovedLoopFile(file);
    }
    return {
      writers,
      nameless,
      sightings: this.#sightings as CachedExamination[],
      notes: this.#notes,
      hasChanged: this.#hasChanged() || !(await this.#claimsHold()),
      directories: this.#directories,
      unreachable: this.#unreachable,
      filesSeen: this.#filesSeen,
      imagesRead: this.#imagesRead,
    };
  }

  /** A declaration that met no file was meant for one that the scan now takes for something else, or does not see. */
  unmetRawFiles(): ScanError[] {
    return [...this.#rawFiles].flatMap(([identity, path]) => {
      if (this.#identities.has(identity)) return [];
      const error = new PlimsollError('usage', 'RAW_FILE_UNMET', {
        doing: 'treat file as raw',
        found: 'not a regular file found by the scan',
        expected: 'a file below the scanned directories',
      });
      return [{ ...error.toJSON(), path }];
    });
  }

  /** Leaves to the next look what this one saw. */
  remember(): void {
    const { memory, remembers } = this.#options;
    if (!remembers) return;
    const isAsBefore = this.#takenOver.size === this.#sightings.length && !this.#hasGone();
    if (!isAsBefore) memory.sightings = new Map((this.#sightings as CachedExamination[]).map((sighting) => [sighting.walked, sighting]));
    memory.allowedPlaces = this.#allowedPlaces;
    memory.rawFiles = this.#rawFiles;
    memory.onceRaw = new Map([...memory.onceRaw, ...this.#raw].filter(([identity]) => this.#identities.has(identity)));
    if (this.#claims.size > 0 || this.#hasChanged()) memory.claims = this.#claims;
  }

  /** The external data file of other images, read as that. */
  async readClaim(claim: Claim): Promise<CachedExamination | undefined> {
    const { memory, remembers, everything } = this.#options;
    const key = `${claim.identity} ${claim.format}`;
    const known = memory.claims.get(key);
    if (known !== undefined && !everything && isSameClaim(known.claim, claim) && (await this.#claimHolds(known))) {
      this.#claims.set(key, known);
      return known.sighting;
    }
    const walked = claim.target?.walked ?? { path: claim.path, pathBytes: Buffer.from(claim.path) };
    const beganMs = Date.now();
    const mark = remembers ? await markOfRemote(walked.pathBytes) : undefined;
    const examined = await examineFile(walked.pathBytes, {
      ...this.#examineOptions(),
      format: claim.format,
      // An administrator's declaration stays what the walk found: a claim is another reading.
      rawFiles: claim.format === 'raw' ? this.#rawFiles : undefined,
      discovered: false,
      reach: claim.reach,
    });
    if (examined.facts === undefined || examined.filesystem === undefined) return undefined;
    const sighting = remembers
      ? await keptSighting(walked, examined, { mark, beganMs, before: known?.sighting })
      : sightingOf(walked, examined);
    this.#claims.set(key, { claim, sighting });
    return sighting;
  }

  async #claimsHold(): Promise<boolean> {
    for (const known of this.#options.memory.claims.values()) if (!(await this.#claimHolds(known))) return false;
    return true;
  }

  /** One that the walk found is looked at there; one that lies elsewhere here. */
  async #claimHolds({ claim, sighting }: ReadClaimed): Promise<boolean> {
    if (claim.target !== undefined) return true;
    const circumstances = { filesystem: sighting.filesystem?.id ?? '', writers: this.#options.cache.locks.writers() };
    return stillHolds(sighting, await markOfRemote(sighting.walked.pathBytes), circumstances);
  }

  /** A store without images is still a store. */
  async #nameStores(): Promise<void> {
    for (const directory of this.#named) {
      // The walk says what is wrong with it.
      if (isNoDirectory(directory)) continue;
      try {
        const { directories } = await this.#notes.ofDirectory(directory);
        const name = nameText(directory);
        if (!directories.includes(name)) directories.push(name);
      } catch (thrown) {
        // The walk meets the same directory and reports what is wrong with it.
        this.#unreachable.set(nameText(directory), asPlimsollError(thrown, 'read directory').toJSON());
      }
    }
  }

  /** Declared by name, recognised by identity: under whichever name and through whichever link the walk comes to a file. */
  async #identifyRawFiles(): Promise<void> {
    for (const path of this.#options.rawFiles) {
      try {
        this.#rawFiles.set(await identityOfFile(path), nameText(path));
      } catch (thrown) {
        this.#notes.errors.push({ ...asPlimsollError(thrown, 'look up file').toJSON(), path: nameText(path) });
      }
    }
  }

  async *#walk(): AsyncGenerator<SurveyEvent, void> {
    const { signal, cache, memory } = this.#options;
    const shared = { filesystems: cache.filesystems, memory: memory.walk };
    const isExcluded = (path: string, filesystem: string): boolean => this.#isExcluded(`${path}/`, filesystem);
    for await (const entry of walkDirectories(this.#named, { ...shared, isExcluded, ...(signal === undefined ? {} : { signal }) })) {
      if (entry.kind === 'error') await this.#noteUnreadable(entry.path, entry.error.toJSON());
      else if (entry.kind === 'other-filesystem') await this.#notes.noteOtherFilesystem(entry.path);
      else yield* this.#lookInto(entry);
    }
    yield* this.#settle();
  }

  async #noteUnreadable(path: string, error: SerializedError): Promise<void> {
    const isNamed = this.#named.some((directory) => nameText(directory) === path);
    if (isNamed) this.#unreachable.set(path, error);
    await this.#notes.noteUnreadable(path, error, isNamed);
  }

  async *#lookInto(directory: WalkedDirectory): AsyncGenerator<SurveyEvent, void> {
    const { key, pathBytes, filesystem, symlinkCount, specialCount } = directory;
    const files = directory.files.filter(({ path }) => !this.#isExcluded(path, filesystem));
    const store = this.#notes.stores.get(filesystem);
    this.#store = filesystem;
    this.#directories.push({ key, pathBytes, isLocal: store !== undefined && store.filesystem.kind !== 'other' });
    if (store !== undefined) {
      store.notFollowed.symlinks += symlinkCount;
      store.notFollowed.specials += specialCount;
    }
    const circumstances = { filesystem, writers: this.#options.remembers ? this.#options.cache.locks.writers() : undefined };
    for (let from = 0; from < files.length; from += REMOTE_MARKS) {
      const batch = files.slice(from, from + REMOTE_MARKS);
      const marks = await this.#marksOf(batch);
      for (const [index, walked] of batch.entries()) {
        this.#options.signal?.throwIfAborted();
        this.#filesSeen += 1;
        if (this.#takeOver(walked, marks[index], circumstances)) continue;
        yield* this.#read(this.#sightings.push(undefined) - 1, walked, marks[index]);
      }
      const pause = pauseDue();
      if (pause !== undefined) await pause;
    }
  }

  #declaresNeverWritten(): boolean {
    return [...this.#notes.stores.values()].some(({ directories }) => this.#options.policyOf(directories).neverWritten.length > 0);
  }

  /** Whether the administrator leaves a file, or a directory with a slash behind its path, out of a store. */
  #isExcluded(path: string, filesystem: string): boolean {
    const store = this.#notes.stores.get(filesystem);
    if (store === undefined) return false;
    const known = this.#excluded.get(filesystem) ?? pathMatcher(this.#options.policyOf(store.directories).exclude);
    this.#excluded.set(filesystem, known);
    if (!known(path)) return false;
    store.excluded[path.endsWith('/') ? 'directories' : 'files'] += 1;
    return true;
  }

  /** Those that lay below the scanned directories, and wherever a QEMU has one: read through a process that has them open. */
  async #readNameless(files: readonly NamelessFile[], places: readonly string[]): Promise<CachedExamination[]> {
    const devices = new Set(this.#directories.map(({ key }) => key.split(':')[0]));
    const read: CachedExamination[] = [];
    for (const { identity, opening, formerPath, pid } of files) {
      if (!devices.has(identity.split(':')[0])) continue;
      this.#options.signal?.throwIfAborted();
      const examined = await examineFile(opening, { ...this.#examineOptions(), isLocal: false, formerPath });
      // Closed meanwhile; or one of the many temporary files that programs keep elsewhere on the filesystem.
      if (examined.report.error?.kind === 'not-found') continue;
      if (examined.facts?.openForWriting !== true && !places.some((place) => formerPath.startsWith(place))) continue;
      const path = `${examined.report.path} (deleted)`;
      const finding: Finding = {
        level: 'warning',
        code: 'REMOVED_IN_USE',
        message: `Removed while process ${pid} can write it: its storage is freed when the last process closes it.`,
      };
      const report = { ...examined.report, path, findings: [...examined.report.findings, finding] };
      read.push(sightingOf({ path, pathBytes: Buffer.from(path) }, { ...examined, report }));
    }
    return read.sort((a, b) => (a.walked.path < b.walked.path ? -1 : 1));
  }

  async #marksOf(batch: readonly WalkedPath[]): Promise<readonly (PathStamp | undefined)[]> {
    if (!this.#options.remembers) return [];
    if (this.#isLocal) return batch.map(({ pathBytes }) => pathStampOf(pathBytes));
    return Promise.all(batch.map(({ pathBytes }) => markOfRemote(pathBytes)));
  }

  #takeOver(walked: WalkedPath, mark: PathStamp | undefined, circumstances: Parameters<typeof stillHolds>[2]): boolean {
    const { memory, everything } = this.#options;
    const before = memory.sightings.get(walked);
    if (before === undefined || everything || !stillHolds(before, mark, circumstances)) return false;
    const { identity } = before;
    if (identity === undefined || memory.rawFiles.has(identity) !== this.#rawFiles.has(identity)) return false;
    this.#takenOver.add(this.#sightings.push(before) - 1);
    this.#identities.add(identity);
    return true;
  }

  /** Begins to read a file; waits only when enough are being read. */
  async *#read(index: number, walked: WalkedPath, mark: PathStamp | undefined): AsyncGenerator<SurveyEvent, void> {
    const task = this.#examine(index, walked, mark).finally(() => this.#inFlight.delete(task));
    // Thrown here, not where it happens: a consumer that takes its time must not make it unhandled.
    task.catch((error: unknown) => this.#failures.push(error));
    this.#inFlight.add(task);
    if (this.#inFlight.size < this.#options.concurrency) return;
    await Promise.race(this.#inFlight);
    if (this.#failures.length > 0) throw this.#failures[0];
    yield* this.#drain();
  }

  async *#settle(): AsyncGenerator<SurveyEvent, void> {
    await Promise.all(this.#inFlight);
    this.#options.signal?.throwIfAborted();
    if (this.#failures.length > 0) throw this.#failures[0];
    yield* this.#drain();
  }

  *#drain(): Generator<SurveyEvent> {
    if (this.#finished.length === 0) return;
    const finished = this.#finished;
    this.#finished = [];
    yield* finished;
    yield { type: 'progress', store: this.#store, filesSeen: this.#filesSeen, imagesRead: this.#imagesRead };
  }

  async #examine(index: number, walked: WalkedPath, mark: PathStamp | undefined): Promise<void> {
    const { memory, remembers } = this.#options;
    const beganMs = Date.now();
    const examined = await examineFile(walked.pathBytes, this.#examineOptions());
    const sighting = remembers
      ? await keptSighting(walked, examined, { mark, beganMs, before: memory.sightings.get(walked) })
      : sightingOf(walked, examined);
    this.#sightings[index] = sighting;
    if (sighting.identity !== undefined && isSeenRaw(sighting.report)) this.#raw.set(sighting.identity, sighting.report.length ?? 0);
    this.#announce(sighting);
  }

  /** An image is an event by the first of its names that is read. */
  #announce({ identity, isOther, report }: CachedExamination): void {
    const isKnown = identity !== undefined && this.#identities.has(identity);
    if (identity !== undefined) this.#identities.add(identity);
    if (isKnown || isOther || (identity === undefined && report.error?.kind === 'not-found')) return;
    if (identity !== undefined) this.#imagesRead += 1;
    this.#finished.push({ type: 'image', image: report });
  }

  #allowed(): string[] {
    return [...this.#options.allowDirectories, ...this.#named.map(String)];
  }

  #examineOptions(): ExamineOptions {
    const { signal, cache, memory, examiner } = this.#options;
    return {
      examiner,
      allowDirectories: this.#allowed(),
      signal,
      cache,
      discovered: true,
      rawFiles: this.#rawFiles,
      onceRaw: memory.onceRaw,
      isLocal: this.#isLocal,
    };
  }

  async *#readAgain(indices: readonly number[]): AsyncGenerator<SurveyEvent, void> {
    for (const index of indices) {
      this.#takenOver.delete(index);
      const { walked } = this.#sightings[index] as CachedExamination;
      yield* this.#read(index, walked, this.#options.remembers ? await markOfRemote(walked.pathBytes) : undefined);
    }
    yield* this.#settle();
  }

  /** Those taken over whose backing or data files are not what they were, or may be followed otherwise now. */
  async #unheldReferences(): Promise<number[]> {
    const isAllowedElsewhere = this.#allowedPlaces !== this.#options.memory.allowedPlaces;
    const referring = [...this.#takenOver].filter((index) => (this.#sightings[index]?.references.length ?? 0) > 0);
    if (isAllowedElsewhere) return referring;
    const unheld: number[] = [];
    for (let from = 0; from < referring.length; from += REFERENCES) {
      const pause = pauseDue();
      if (pause !== undefined) await pause;
      const batch = referring.slice(from, from + REFERENCES);
      const held = await Promise.all(
        batch.map((index) => referencesHold(this.#sightings[index] as CachedExamination, (path) => this.#see(path))),
      );
      unheld.push(...batch.filter((_, at) => held[at] === false));
    }
    return unheld;
  }

  #see(path: Buffer): Promise<ResolvedPath> {
    const key = path.toString('latin1');
    const seen = this.#places.get(key) ?? statPath(path);
    this.#places.set(key, seen);
    return seen;
  }

  /** Those taken over whose blocks got or lost the filesystem's mark of being shared, by what happened to other files. */
  async #turnedFlags(): Promise<number[]> {
    const { memory, everything } = this.#options;
    if (everything || memory.sightings.size === 0 || (this.#takenOver.size === this.#sightings.length && !this.#hasGone())) return [];
    const byStore = new Map<string, Map<string, { before: CachedExamination['ranges']; after: CachedExamination['ranges'] }>>();
    const note = ({ filesystem, identity, ranges }: CachedExamination, when: 'before' | 'after'): void => {
      if (filesystem === undefined || identity === undefined || filesystem.reflink === false) return;
      const files =
        byStore.get(filesystem.id) ?? new Map<string, { before: CachedExamination['ranges']; after: CachedExamination['ranges'] }>();
      byStore.set(filesystem.id, files);
      const file = files.get(identity) ?? { before: undefined, after: undefined };
      file[when] = ranges;
      files.set(identity, file);
    };
    for (const sighting of memory.sightings.values()) note(sighting, 'before');
    for (const sighting of this.#sightings as CachedExamination[]) note(sighting, 'after');
    const turned: number[] = [];
    for (const [store, files] of byStore) {
      const runs = await runCooperatively(changedSharedRanges([...files.values()]));
      if (runs.length === 0) continue;
      for (const index of this.#takenOver) {
        const sighting = this.#sightings[index] as CachedExamination;
        if (sighting.filesystem?.id === store && liesIn(sighting.ranges, runs)) turned.push(index);
      }
    }
    return turned;
  }

  #hasGone(): boolean {
    return this.#options.memory.sightings.size !== this.#sightings.length;
  }

  #hasChanged(): boolean {
    const { memory } = this.#options;
    if (this.#hasGone()) return true;
    return (this.#sightings as CachedExamination[]).some((sighting, index) => {
      if (this.#takenOver.has(index)) return false;
      const before = memory.sightings.get(sighting.walked);
      return (
        before?.report !== sighting.report ||
        before.ranges !== sighting.ranges ||
        before.domains !== sighting.domains ||
        before.protection !== sighting.protection ||
        before.filesystem?.id !== sighting.filesystem?.id
      );
    });
  }
}

/** An empty file may be the beginning of any. */
function isSeenRaw({ format, formatSource, length, error }: ImageReport): boolean {
  if (length === null || length === 0) return false;
  return (format === 'raw' && formatSource === 'guess') || error?.code === 'SIGNATURE_MISSING';
}

type ImageEvent = Extract<SurveyEvent, { type: 'image' }>;

function isSameClaim(a: Claim, b: Claim): boolean {
  return (
    a.reach === b.reach &&
    a.target === b.target &&
    a.claimants.length === b.claimants.length &&
    a.claimants.every((one, at) => one === b.claimants[at])
  );
}
