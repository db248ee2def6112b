/** Every image below directories, grouped by store; streaming. */
import { dirname } from 'node:path';
import { asPlimsollError, PlimsollError, requireArgument, requireOptions, requirePaths, requireSignal, type SerializedError } from '#base';
import { filesystemOf, type HostFilesystem, identityOfFile, isNoDirectory, newHostCache, walkFiles } from '#host';
import { type Examined, examineFile } from '#sandbox';
import { type ChainLink, DEFINITIONS, type Finding, type ImageReport, type ScanReport } from '#wire';
import { type FoundImage, reportStore, type StorePolicy } from './store.ts';

export interface ScanOptions extends Partial<StorePolicy> {
  /** Further directories (real paths) in which references may be followed; the scanned directories always are. */
  readonly allowDirectories?: readonly string[];
  /** Files that are raw for certain, whatever a guest wrote into their first bytes. */
  readonly rawFiles?: readonly (string | Buffer)[];
  readonly signal?: AbortSignal;
  /** Images examined at a time. */
  readonly concurrency?: number;
}

export type ScanEvent =
  | { readonly type: 'progress'; readonly filesSeen: number; readonly imagesRead: number }
  /** An image as soon as it is read; sharing, and the name of several that stands for it, are known only in the report. */
  | { readonly type: 'image'; readonly image: ImageReport }
  /** The last event. */
  | { readonly type: 'report'; readonly report: ScanReport };

/** Enough to keep the four threads of Node's pool busy. */
const DEFAULT_CONCURRENCY = 8;

interface Found {
  /** As it was read by the name that stands for all its names. */
  examined: Examined;
  pathBytes: Buffer;
  readonly aliases: string[];
  readonly backingOf: string[];
}

/** What a scan gathers for one filesystem. */
interface Gathered {
  readonly filesystem: HostFilesystem;
  readonly images: Found[];
  readonly others: { count: number; allocation: number };
  readonly notFollowed: { symlinks: number; specials: number };
  readonly unreadable: Finding[];
}

/**
 * Scans `directories`: an event for each image, progress in between, the report of all stores last.
 *
 * Throws: usage, NOT_A_DIRECTORY, when a file is named; the signal's reason when aborted. Everything else is in the report.
 */
export async function* scan(directories: readonly (string | Buffer)[], options: ScanOptions = {}): AsyncGenerator<ScanEvent, void> {
  checkArguments(directories, options);
  const run = new ScanRun(directories, options);
  yield* run.events();
}

/** Throws: usage, for what the types of a library call rule out. */
function checkArguments(directories: unknown, options: ScanOptions): void {
  const call = 'scan()';
  const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
  requireArgument(Array.isArray(directories), { call, name: 'directories', value: directories, expected: 'an array of paths' });
  requirePaths(call, 'directories', directories);
  requireOptions(call, options);
  const { floor, frozenBacking, concurrency } = options;
  requireArgument(floor === undefined || isCount(floor), {
    call,
    name: 'floor',
    value: floor,
    expected: 'a whole number of bytes',
  });
  requireArgument(frozenBacking === undefined || typeof frozenBacking === 'boolean', {
    call,
    name: 'frozenBacking',
    value: frozenBacking,
    expected: 'true or false',
  });
  requireArgument(concurrency === undefined || (isCount(concurrency) && concurrency > 0), {
    call,
    name: 'concurrency',
    value: concurrency,
    expected: 'a whole number from 1 on',
  });
  requirePaths(call, 'allowDirectories', options.allowDirectories);
  requirePaths(call, 'rawFiles', options.rawFiles);
  requireSignal(call, options.signal);
}

class ScanRun {
  readonly #directories: readonly (string | Buffer)[];
  readonly #options: ScanOptions;
  readonly #cache = newHostCache();
  readonly #stores = new Map<string, Gathered>();
  readonly #byIdentity = new Map<string, Found>();
  readonly #errors: (SerializedError & { path: string })[] = [];
  /** Declared raw, by identity, with the name that was given. */
  readonly #rawFiles = new Map<string, string>();
  /** All filesystems that the walk enters are local ones. */
  #isLocal = false;
  #filesSeen = 0;
  #imagesRead = 0;
  #finished: ImageReport[] = [];

  constructor(directories: readonly (string | Buffer)[], options: ScanOptions) {
    this.#directories = directories;
    this.#options = options;
  }

  async *events(): AsyncGenerator<ScanEvent, void> {
    const { signal, concurrency = DEFAULT_CONCURRENCY } = this.#options;
    await this.#nameStores();
    await this.#identifyRawFiles();
    this.#isLocal = [...this.#stores.values()].every(({ filesystem }) => filesystem.kind !== 'other');
    const inFlight = new Set<Promise<void>>();
    const failures: unknown[] = [];
    const entries = walkFiles(this.#directories, { filesystems: this.#cache.filesystems, ...(signal === undefined ? {} : { signal }) });
    try {
      for await (const entry of entries) {
        if (entry.kind === 'error') await this.#noteUnreadable(entry.path, entry.error.toJSON());
        else if (entry.kind === 'other-filesystem') await this.#noteOtherFilesystem(entry.path);
        else if (entry.kind === 'not-followed') this.#noteNotFollowed(entry);
        else if (entry.kind === 'file') {
          this.#filesSeen += 1;
          const task = this.#examine(entry.pathBytes).finally(() => inFlight.delete(task));
          // Thrown here, not where it happens: a consumer that takes its time must not make it unhandled.
          task.catch((error: unknown) => failures.push(error));
          inFlight.add(task);
          if (inFlight.size >= concurrency) await Promise.race(inFlight);
          if (failures.length > 0) throw failures[0];
          yield* this.#drain();
        }
      }
      await Promise.all(inFlight);
      if (failures.length > 0) throw failures[0];
    } finally {
      await Promise.allSettled(inFlight);
    }
    yield* this.#drain();
    await this.#linkImages();
    this.#noteUnmetRawFiles();
    yield { type: 'report', report: this.#report() };
  }

  *#drain(): Generator<ScanEvent> {
    if (this.#finished.length === 0) return;
    const finished = this.#finished;
    this.#finished = [];
    for (const image of finished) yield { type: 'image', image };
    yield { type: 'progress', filesSeen: this.#filesSeen, imagesRead: this.#imagesRead };
  }

  /** A store without images is still a store. Throws: usage, when something that was named is a file. */
  async #nameStores(): Promise<void> {
    for (const directory of this.#directories) {
      refuseFile(directory);
      try {
        this.#store(await filesystemOf(directory, this.#cache.filesystems));
      } catch {
        // The walk meets the same directory and reports what is wrong with it.
      }
    }
  }

  /** Declared by name, recognised by identity: under whichever name and through whichever link the walk comes to a file. */
  async #identifyRawFiles(): Promise<void> {
    for (const path of this.#options.rawFiles ?? []) {
      try {
        this.#rawFiles.set(await identityOfFile(path), path.toString());
      } catch (thrown) {
        this.#errors.push({ ...asPlimsollError(thrown, 'look up file').toJSON(), path: path.toString() });
      }
    }
  }

  /** A declaration that met no file was meant for one that the scan now takes for something else, or does not see. */
  #noteUnmetRawFiles(): void {
    for (const [identity, path] of this.#rawFiles) {
      if (this.#byIdentity.has(identity)) continue;
      const error = new PlimsollError('usage', 'RAW_FILE_UNMET', {
        doing: 'take file for raw',
        found: 'no regular file that the scan came to',
        expected: 'a file below the scanned directories',
      });
      this.#errors.push({ ...error.toJSON(), path });
    }
  }

  #store(filesystem: HostFilesystem): Gathered {
    const known = this.#stores.get(filesystem.id);
    if (known !== undefined) return known;
    const made = { filesystem, images: [], others: { count: 0, allocation: 0 }, notFollowed: { symlinks: 0, specials: 0 }, unreadable: [] };
    this.#stores.set(filesystem.id, made);
    return made;
  }

  async #examine(pathBytes: Buffer, reach?: number): Promise<void> {
    const examined = await examineFile(pathBytes, this.#examineOptions(reach));
    const { facts, filesystem } = examined;
    if (filesystem === undefined || facts === undefined) return this.#noteUnopened(pathBytes, examined);
    const known = this.#byIdentity.get(facts.identity);
    if (known !== undefined) return this.#noteAnotherName(known, examined, pathBytes);
    const store = this.#store(filesystem);
    const found: Found = { examined, pathBytes, aliases: [], backingOf: [] };
    this.#byIdentity.set(facts.identity, found);
    if (examined.isOther) {
      store.others.count += 1;
      store.others.allocation += facts.allocation;
      return;
    }
    this.#addImage(found, store);
  }

  #addImage(found: Found, store: Gathered): void {
    this.#imagesRead += 1;
    store.images.push(found);
    this.#finished.push(found.examined.report);
  }

  /**
   * Files are read several at a time, and which of two names is done first is chance: the first by its bytes stands for the
   * file, in path and figures, of those by which it is an image at all.
   */
  #noteAnotherName(known: Found, examined: Examined, pathBytes: Buffer): void {
    const before = known.examined;
    const isBetter = before.isOther === examined.isOther ? Buffer.compare(pathBytes, known.pathBytes) < 0 : before.isOther;
    known.aliases.push((isBetter ? before : examined).report.path);
    if (!isBetter) return;
    known.examined = examined;
    known.pathBytes = pathBytes;
    if (!before.isOther || examined.isOther || examined.filesystem === undefined) return;
    const store = this.#store(examined.filesystem);
    store.others.count -= 1;
    store.others.allocation -= before.facts?.allocation ?? 0;
    this.#addImage(known, store);
  }

  #examineOptions(reach: number | undefined): Parameters<typeof examineFile>[1] {
    const { allowDirectories = [], signal } = this.#options;
    const scanned = this.#directories.map(String);
    return {
      allowDirectories: [...allowDirectories, ...scanned],
      signal,
      cache: this.#cache,
      discovered: true,
      rawFiles: this.#rawFiles,
      isLocal: this.#isLocal,
      reach,
    };
  }

  /** A file that vanished or cannot be opened: an image with an error, on the store of its directory. */
  async #noteUnopened(pathBytes: Buffer, examined: Examined): Promise<void> {
    if (examined.report.error?.kind === 'not-found') return;
    try {
      const store = this.#store(await filesystemOf(dirname(pathBytes.toString()), this.#cache.filesystems));
      store.images.push({ examined, pathBytes, aliases: [], backingOf: [] });
      this.#finished.push(examined.report);
    } catch {
      this.#errors.push({ ...(examined.report.error as SerializedError), path: examined.report.path });
    }
  }

  async #noteUnreadable(path: string, error: SerializedError): Promise<void> {
    if (this.#directories.some((directory) => directory.toString() === path)) {
      this.#errors.push({ ...error, path });
      await this.#doubtStoreOf(path, error);
      return;
    }
    try {
      const store = this.#store(await filesystemOf(dirname(path), this.#cache.filesystems));
      store.unreadable.push({
        level: 'danger',
        code: 'DIRECTORY_UNREADABLE',
        message: `${path}: ${error.message}; what lies below is not known.`,
      });
    } catch (thrown) {
      this.#errors.push({ ...asPlimsollError(thrown, 'read directory', path).toJSON(), path });
    }
  }

  /** What lies below a named directory that cannot be read may lie on a store whose answer is then open. */
  async #doubtStoreOf(path: string, error: SerializedError): Promise<void> {
    const parent = await filesystemOf(dirname(path), this.#cache.filesystems).catch(() => undefined);
    const store = parent === undefined ? undefined : this.#stores.get(parent.id);
    store?.unreadable.push({
      level: 'danger',
      code: 'DIRECTORY_UNREADABLE',
      message: `${path}: ${error.message}; what lies below is not known.`,
    });
  }

  #noteNotFollowed({ filesystem, symlinkCount, specialCount }: { filesystem: string; symlinkCount: number; specialCount: number }): void {
    const store = this.#stores.get(filesystem);
    if (store === undefined) return;
    store.notFollowed.symlinks += symlinkCount;
    store.notFollowed.specials += specialCount;
  }

  async #noteOtherFilesystem(path: string): Promise<void> {
    const error = {
      kind: 'refused',
      code: 'OTHER_FILESYSTEM',
      message: `${path} lies on another filesystem and was not entered: name it to scan it`,
    } as const;
    try {
      const parent = this.#stores.get((await filesystemOf(dirname(path), this.#cache.filesystems)).id);
      this.#crossings.push({ store: parent, finding: { level: 'info', code: error.code, message: `${error.message}.` } });
    } catch {
      this.#errors.push({ ...error, path });
    }
  }

  readonly #crossings: { store: Gathered | undefined; finding: Finding }[] = [];

  /** Who is whose backing file, and how far an external data file is written, is known once all are read. */
  async #linkImages(): Promise<void> {
    for (const { examined } of Array.from(this.#byIdentity.values())) {
      for (const link of examined.report.chain) {
        const target = link.file === undefined ? undefined : this.#byIdentity.get(link.file);
        if (link.role === 'backing' && link.depth === 1) target?.backingOf.push(examined.report.path);
        else if (link.role === 'data') await this.#countDataFile(examined, link, target);
      }
    }
  }

  /** An external data file grows with its image, wherever it lies; one that cannot be read leaves the answer open. */
  async #countDataFile(image: Examined, link: ChainLink, target: Found | undefined): Promise<void> {
    if (link.reach !== undefined && link.path !== null) {
      const reach = Math.max(link.reach, this.#reaches.get(link.file ?? '') ?? 0);
      this.#reaches.set(link.file ?? '', reach);
      return this.#reexamine(
        target ?? { examined: image, pathBytes: Buffer.from(link.path), aliases: [], backingOf: [] },
        reach,
        target !== undefined,
      );
    }
    if (image.filesystem === undefined) return;
    this.#store(image.filesystem).unreadable.push({
      level: 'danger',
      code: 'DATA_FILE_UNKNOWN',
      message: `${image.report.path}: its external data file was not read, so what that can grow to is not in the sums.`,
    });
  }

  /** How far external data files are written, when several images claim one. */
  readonly #reaches = new Map<string, number>();

  /**
   * An external data file: raw for certain, and written up to its image's capacity. But an image can claim any file beside
   * it: what is an image by its own signature stays one, unless the claim makes it larger.
   */
  async #reexamine(target: Found, reach: number, wasFound: boolean): Promise<void> {
    const examined = await examineFile(target.pathBytes, { ...this.#examineOptions(reach), format: 'raw', discovered: false });
    if (examined.facts === undefined || examined.filesystem === undefined) return;
    const store = this.#store(examined.filesystem);
    const index = store.images.indexOf(target);
    if (wasFound && isImageOfItsOwn(target.examined.report, examined.report)) return;
    const replaced = { ...target, examined };
    if (index >= 0) store.images[index] = replaced;
    else store.images.push(replaced);
    this.#byIdentity.set(examined.facts.identity, replaced);
  }

  #report(): ScanReport {
    const policy = { floor: this.#options.floor ?? 0, frozenBacking: this.#options.frozenBacking ?? false };
    const stores = [...this.#stores.values()].map((gathered) => {
      const images: FoundImage[] = gathered.images.map(({ examined, aliases, backingOf }) => ({
        report: examined.report,
        facts: examined.facts,
        aliases: aliases.toSorted(byCodeUnits),
        backingOf: backingOf.toSorted(byCodeUnits),
      }));
      const report = reportStore({ ...gathered, images }, policy);
      const crossings = this.#crossings.filter((one) => one.store === gathered).map((one) => one.finding);
      return { ...report, findings: [...report.findings, ...crossings] };
    });
    return {
      schema: 'plimsoll.scan/1',
      definitions: DEFINITIONS,
      stores: stores.sort((a, b) => (a.headroom ?? Number.NEGATIVE_INFINITY) - (b.headroom ?? Number.NEGATIVE_INFINITY)),
      errors: this.#errors,
    };
  }
}

/** Throws: usage. A directory is what is scanned, and a mistake must not look like an empty store. */
function refuseFile(directory: string | Buffer): void {
  if (!isNoDirectory(directory)) return;
  throw new PlimsollError('usage', 'NOT_A_DIRECTORY', {
    doing: 'scan',
    image: directory.toString(),
    found: 'not a directory',
    expected: 'a directory to search; `plimsoll info` reads single images',
  });
}

function byCodeUnits(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Whether `found`, the file by its own signature, stands against `claimed`, the same file as another image's data. */
function isImageOfItsOwn(found: ImageReport, claimed: ImageReport): boolean {
  if (found.error !== undefined) return found.error.code !== 'SIGNATURE_MISSING';
  return found.formatSource === 'signature' && (found.commitment ?? 0) >= (claimed.commitment ?? 0);
}
