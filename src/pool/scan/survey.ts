/**
 * Scan passes over directories: a file that did not change since the last pass is not opened. A scan is a first pass; the
 * monitor of a daemon repeats it. Both produce reports by the same code.
 */
import { type Assumption, runCooperatively, type SerializedError } from '#base';
import { filesystemOf, type HostCache, type HostFilesystem, newHostCache, WalkMemory } from '#host';
import type { Examiner } from '#sandbox';
import type { ImageReport, StoreReport } from '#wire';
import { type Claim, gather, type GatheredStore, type ScanError } from './gather.ts';
import { availableUnderLimits } from './storage-verdict.ts';
import { Look, type Seen } from './look.ts';
import type { StoredFile } from './sharing.ts';
import type { CachedExamination } from './sighting.ts';
import { unwritableImages } from './unwritable-images.ts';
import { reportStore, roomDuring, type RoomSeen, RowCache, type StorePolicy, type StoreSums, sumsInSteps } from './store.ts';

export interface SurveyOptions {
  /** The policy of a store, by the named directories that lie on it. */
  readonly policyOf: (directories: readonly string[]) => StorePolicy;
  /** Further directories in which references may be followed; the looked-at ones always are. */
  readonly allowDirectories: readonly string[];
  /** Files that are raw for certain. */
  readonly rawFiles: readonly (string | Buffer)[];
  /** Images read at a time. */
  readonly concurrency: number;
  /** There will be further looks. */
  readonly remembers: boolean;
  /** Where images are examined; in this process when left out. */
  readonly examiner?: Examiner | undefined;
}

export type SurveyEvent =
  | { readonly type: 'progress'; readonly store: string | undefined; readonly filesSeen: number; readonly imagesRead: number }
  /** An image that was read. */
  | { readonly type: 'image'; readonly image: ImageReport };

/** A store as one look found it. */
export interface LookedStore {
  readonly report: StoreReport;
  readonly filesystem: HostFilesystem;
  readonly room: RoomSeen;
  /** Named directories that lie on it. */
  readonly directories: readonly string[];
  /** What is known of each image's storage, by its path; the same object as long as it is the same. Empty where nothing is kept. */
  readonly storage: ImageStorage;
  /** The report's answer with more declared. */
  readonly assuming: Assuming;
}

export type Assuming = (declared: readonly Assumption[]) => Pick<StoreReport, 'fits' | 'assumed' | 'findings'>;

export type ImageStorage = ReadonlyMap<string, StoredImage>;

export interface StoredImage extends StoredFile {
  /** `device:inode`. */
  readonly identity: string | undefined;
}

export interface Looked {
  readonly stores: readonly LookedStore[];
  readonly errors: readonly ScanError[];
  /** Directories that were read, to be watched. */
  readonly directories: readonly { readonly key: string; readonly pathBytes: Buffer; readonly isLocal: boolean }[];
  /** Named directories that led nowhere, with why. */
  readonly unreachable: ReadonlyMap<string, SerializedError>;
  readonly filesSeen: number;
  readonly imagesRead: number;
}

/** What a look leaves to the next one. */
export interface SurveyMemory {
  cache: HostCache | undefined;
  readonly walk: WalkMemory;
  sightings: ReadonlyMap<object, CachedExamination>;
  /** Real places of the directories in which references may be followed. */
  allowedPlaces: string;
  /** Identities of the files that are declared raw. */
  rawFiles: ReadonlyMap<string, string>;
  claims: ReadonlyMap<string, ReadClaimed>;
  /** Files that a look saw without the signature of a container, by identity, and how long they were. A guest cannot change that. */
  onceRaw: ReadonlyMap<string, number>;
}

/** An external data file as it was read, and what that rested on. */
export interface ReadClaimed {
  readonly claim: Claim;
  readonly sighting: CachedExamination;
}

interface SummedStore extends GatheredStore {
  readonly sums: StoreSums;
  readonly storage: ImageStorage;
}

export class Survey {
  readonly #directories: readonly (string | Buffer)[];
  readonly #options: SurveyOptions;
  readonly #rows = new RowCache();
  readonly #memory: SurveyMemory = {
    cache: undefined,
    walk: new WalkMemory(),
    sightings: new Map(),
    allowedPlaces: '',
    rawFiles: new Map(),
    claims: new Map(),
    onceRaw: new Map(),
  };
  #summed: readonly SummedStore[] = [];
  #errors: readonly ScanError[] = [];
  /** What the walk told besides images, as text: it has to be the same for the sums to be. */
  #told = '';

  constructor(directories: readonly (string | Buffer)[], options: SurveyOptions) {
    this.#directories = directories;
    this.#options = options;
  }

  /**
   * Looks at all directories. `everything`: takes nothing over from before. Not to be begun before the last look is over; one
   * that is given up leaves what was known.
   *
   * Throws: the signal's reason.
   */
  async *look({
    signal,
    everything = false,
  }: {
    signal?: AbortSignal | undefined;
    everything?: boolean;
  }): AsyncGenerator<SurveyEvent, Looked> {
    const cache = newHostCache(this.#memory.cache);
    const look = new Look(this.#directories, { ...this.#options, signal, everything, cache, memory: this.#memory });
    const seen = yield* look.events();
    const unmet = look.unmetRawFiles();
    const unwritable = await unwritableImages(seen.sightings);
    const told = JSON.stringify([
      seen.notes.errors,
      unmet,
      [...unwritable],
      [...seen.notes.stores.values()].map(lastingNotes),
      seen.nameless.map(({ report, allocation }) => [report, allocation]),
      writersTold(seen),
    ]);
    if (seen.hasChanged || told !== this.#told) {
      const beside = { ...seen, unwritable, readClaim: (claim: Claim) => look.readClaim(claim) };
      this.#summed = await this.#sum(await gather(seen.sightings, seen.notes, beside));
      this.#told = told;
      this.#errors = [...seen.notes.errors, ...unmet];
    }
    look.remember();
    this.#memory.cache = cache;
    const stores = await Promise.all(
      this.#summed.map(async (store) => {
        const { filesystem, directories } = seen.notes.stores.get(store.notes.filesystem.id) ?? store.notes;
        const now = await withRoomNow(filesystem, directories);
        return lookedStore(store, { before: filesystem, now }, directories, this.#options.policyOf(directories));
      }),
    );
    const { filesSeen, imagesRead, directories, unreachable } = seen;
    return { stores, errors: this.#errors, directories, unreachable, filesSeen, imagesRead };
  }

  async #sum(stores: readonly GatheredStore[]): Promise<SummedStore[]> {
    const summed: SummedStore[] = [];
    for (const store of stores) {
      const sums = await runCooperatively(sumsInSteps(store.input, this.#options.policyOf(store.notes.directories), this.#rows));
      const storage: ImageStorage = new Map(
        this.#options.remembers
          ? store.input.images.map(
              ({ report, identity, allocation = 0, ranges }) => [report.path, { identity, allocation, ranges }] as const,
            )
          : [],
      );
      // What the sums were made of is in them, and in the sightings.
      summed.push({ notes: store.notes, input: { ...store.input, images: [] }, sums, storage });
    }
    return summed;
  }
}

/** What of the writers the sums and findings rest on: of processes that write other files, nothing. */
function writersTold({ writers, sightings }: Seen): unknown {
  if (writers === undefined) return null;
  const written = sightings.flatMap(({ identity }) => (identity !== undefined && writers.written.has(identity) ? [identity] : []));
  const limits = written.flatMap((identity) => writers.limits.get(identity) ?? []);
  return [written, limits, writers.inaccessible, writers.inaccessibleCount, writers.hidden ?? null];
}

/** What of the notes the sums and findings rest on: not how full the filesystem is. */
function lastingNotes({ filesystem, directories, notFollowed, excluded, unreadable, crossings }: GatheredStore['notes']): unknown {
  const { used: _, available: __, underlying: ___, size, ...lasting } = filesystem;
  return [lasting, size === 0, directories, notFollowed, excluded, unreadable, crossings];
}

/** How full the filesystem is after its images were looked at. */
async function withRoomNow(filesystem: HostFilesystem, [directory]: readonly string[]): Promise<HostFilesystem> {
  const now = directory === undefined ? undefined : await filesystemOf(directory).catch(() => undefined);
  // Something else may be mounted there by now: the next look sees that.
  return now?.id === filesystem.id ? now : filesystem;
}

interface FilesystemSeen {
  readonly before: HostFilesystem;
  readonly now: HostFilesystem;
}

function lookedStore(
  store: SummedStore,
  { before, now }: FilesystemSeen,
  directories: readonly string[],
  policy: StorePolicy,
): LookedStore {
  const [first, last] = [before, now].map((filesystem) => availableUnderLimits(filesystem, store.sums)) as [number, number];
  const room = { least: Math.min(first, last), most: Math.max(first, last) };
  const available = roomDuring(room, store.sums.leastResidual + policy.floor);
  const report = reportStore(store.sums, now, policy, available);
  const findings = [...report.findings, ...store.notes.crossings];
  const assuming: Assuming = (declared) => reportStore(store.sums, now, { ...policy, assume: [...policy.assume, ...declared] }, available);
  return { report: { ...report, findings }, filesystem: { ...now, available }, room, directories, storage: store.storage, assuming };
}
