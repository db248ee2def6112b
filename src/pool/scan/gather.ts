/**
 * Groups the files of one scan by filesystem: one entry per file identity, with backing files linked and data files
 * counted as such.
 */
import { dirname } from 'node:path';
import { asPlimsollError, formatBytes, pauseDue, type SerializedError } from '#base';
import { filesystemOf, type HostCache, type HostFilesystem, type OpenWriters, type RemovedLoopFile } from '#host';
import type { ChainLink, Finding, ImageReport } from '#wire';
import { largerCommit, type LargestCommit } from './commits.ts';
import { writerLimitOf } from './process-limit.ts';
import type { CachedExamination } from './sighting.ts';
import type { FoundImage, OtherFile, StoreInput } from './store.ts';

/** What the walk tells of one filesystem beside its files. */
export interface Notes {
  readonly filesystem: HostFilesystem;
  /** The named directories that lie on it. */
  readonly directories: string[];
  readonly notFollowed: { symlinks: number; specials: number };
  /** What the administrator's patterns left out. */
  readonly excluded: { files: number; directories: number };
  readonly unreadable: Finding[];
  /** Other filesystems below its directories. */
  readonly crossings: Finding[];
}

export type ScanError = SerializedError & { readonly path: string };

/** The stores of one look, by id, and what belongs to none. */
export class StoreNotes {
  readonly stores = new Map<string, Notes>();
  readonly errors: ScanError[] = [];
  readonly #cache: HostCache;
  readonly #byDirectory = new Map<string, Promise<HostFilesystem>>();

  constructor(cache: HostCache) {
    this.#cache = cache;
  }

  of(filesystem: HostFilesystem): Notes {
    const known = this.stores.get(filesystem.id);
    if (known !== undefined) return known;
    const made = {
      filesystem,
      directories: [],
      notFollowed: { symlinks: 0, specials: 0 },
      excluded: { files: 0, directories: 0 },
      unreadable: [],
      crossings: [],
    };
    this.stores.set(filesystem.id, made);
    return made;
  }

  /** Throws: not-found, io. */
  async ofDirectory(directory: string | Buffer): Promise<Notes> {
    const key = directory.toString('latin1');
    const asked = this.#byDirectory.get(key) ?? filesystemOf(directory, this.#cache.filesystems);
    this.#byDirectory.set(key, asked);
    return this.of(await asked);
  }

  async noteUnreadable(path: string, error: SerializedError, isNamed: boolean): Promise<void> {
    if (isNamed) this.errors.push({ ...error, path });
    const finding: Finding = {
      level: 'critical',
      code: 'DIRECTORY_UNREADABLE',
      message: `${path}: ${error.message}; its contents are unknown.`,
    };
    try {
      const parent = await filesystemOf(dirname(path), this.#cache.filesystems);
      // What lies below a named directory may lie on a store whose answer is then open; where it lies on another, none is made up.
      if (isNamed) this.stores.get(parent.id)?.unreadable.push(finding);
      else this.of(parent).unreadable.push(finding);
    } catch (thrown) {
      if (!isNamed) this.errors.push({ ...asPlimsollError(thrown, 'read directory', path).toJSON(), path });
    }
  }

  /** On the store of the directory that the file lay in, or of the nearest one that is left. */
  async noteRemovedLoopFile({ device, formerPath, size }: RemovedLoopFile): Promise<void> {
    const finding: Finding = {
      level: 'critical',
      code: 'LOOP_FILE_REMOVED',
      message: `${device} rests on ${formerPath}, which was removed: up to ${formatBytes(size)} can be written to it, and its allocation is unknown.`,
    };
    for (let directory = dirname(formerPath); ; directory = dirname(directory)) {
      try {
        const { id } = await filesystemOf(directory, this.#cache.filesystems);
        this.stores.get(id)?.unreadable.push(finding);
        return;
      } catch {
        if (directory === dirname(directory)) return;
      }
    }
  }

  async noteOtherFilesystem(path: string): Promise<void> {
    const error = {
      kind: 'refused',
      code: 'OTHER_FILESYSTEM',
      message: `${path} is on another filesystem and was not entered: list it to scan it`,
    } as const;
    try {
      const parent = await filesystemOf(dirname(path), this.#cache.filesystems);
      this.stores.get(parent.id)?.crossings.push({ level: 'info', code: error.code, message: `${error.message}.` });
    } catch {
      this.errors.push({ ...error, path });
    }
  }
}

/** A file, by whichever of its names stands for it. */
interface Found {
  sighting: CachedExamination;
  readonly aliases: string[];
  readonly backingOf: string[];
  largestCommit?: LargestCommit | undefined;
}

/** A file that images claim as their external data file. */
export interface Claim {
  /** `device:inode`. */
  readonly identity: string;
  readonly path: string;
  /** vmdk: a sparse extent of a split image. */
  readonly format: 'raw' | 'vmdk';
  /** The largest of what the images say. */
  readonly reach: number;
  readonly claimants: readonly CachedExamination[];
  /** As the walk found it; undefined when it lies elsewhere. */
  readonly target: CachedExamination | undefined;
}

/** Reads a file as an external data file; undefined when it cannot be opened. */
export type ReadClaim = (claim: Claim) => Promise<CachedExamination | undefined>;

/** `input.filesystem` is as full as it was when it was asked first. */
export interface GatheredStore {
  readonly input: StoreInput;
  readonly notes: Notes;
}

/** What a look saw besides names. */
export interface SeenBeside {
  readonly readClaim: ReadClaim;
  /** Removed files that a process can still write. */
  readonly nameless: readonly CachedExamination[];
  readonly writers: OpenWriters | undefined;
  /** Identities of the files that no process can write. */
  readonly unwritable: ReadonlySet<string>;
}

/** Every store with its images. */
export async function gather(
  sightings: readonly CachedExamination[],
  notes: StoreNotes,
  { readClaim, nameless, writers, unwritable }: SeenBeside,
): Promise<GatheredStore[]> {
  const byIdentity = new Map<string, Found>();
  const images = new Map<Notes, Found[]>();
  const others = new Map<Notes, OtherFile[]>();
  for (const sighting of [...sightings, ...nameless]) {
    const pause = pauseDue();
    if (pause !== undefined) await pause;
    if (sighting.identity === undefined) await addUnopened(sighting, notes, images);
    else addName(byIdentity, sighting.identity, sighting);
  }
  const beyond = await linkImages(byIdentity, notes, readClaim);
  for (const found of [...byIdentity.values(), ...beyond]) {
    const pause = pauseDue();
    if (pause !== undefined) await pause;
    const store = await storeOf(found.sighting, notes);
    if (!found.sighting.isOther) pushTo(images, store, found);
    else pushTo(others, store, otherFile(found, writers));
  }
  return [...notes.stores.values()].map((store) => ({
    notes: store,
    input: {
      filesystem: store.filesystem,
      images: (images.get(store) ?? []).map((found) => foundImage(found, store, { writers, unwritable })),
      others: others.get(store) ?? [],
      inaccessibleProcesses: writers === undefined ? 'all' : (writers.hidden ?? writers.inaccessibleCount),
      excluded: store.excluded,
      notFollowed: store.notFollowed,
      unreadable: store.unreadable,
    },
  }));
}

function otherFile({ sighting, aliases, backingOf }: Found, writers: OpenWriters | undefined): OtherFile {
  const { allocation = 0, holes, permissions, exported } = sighting;
  const paths = [sighting.report.path, ...aliases];
  return {
    allocation,
    holes,
    mapExcess: sighting.report.mapExcess ?? 0,
    paths,
    backingOf,
    permissions,
    exported,
    isOpenForWriting: isOpenForWriting(sighting, writers),
  };
}

/** By QEMU's locks, or by who can write it. */
function isOpenForWriting({ identity, openForWriting }: CachedExamination, writers: OpenWriters | undefined): boolean | undefined {
  if (openForWriting === true || (identity !== undefined && writers?.written.has(identity) === true)) return true;
  return writers === undefined ? openForWriting : false;
}

function foundImage(
  { sighting, aliases, backingOf, largestCommit }: Found,
  { filesystem }: Notes,
  { writers, unwritable }: Pick<SeenBeside, 'writers' | 'unwritable'>,
): FoundImage {
  return {
    report: sighting.report,
    identity: sighting.identity,
    allocation: sighting.allocation,
    ranges: filesystem.reflink === false ? undefined : sighting.ranges,
    domains: sighting.domains,
    isUnwritable: sighting.identity !== undefined && unwritable.has(sighting.identity),
    isOpenForWriting: isOpenForWriting(sighting, writers),
    writerLimit: writerLimitOf(writers, sighting.identity, sighting.openForWriting === true),
    permissions: sighting.permissions,
    exported: sighting.exported,
    aliases: aliases.sort(byCodeUnits),
    backingOf: backingOf.sort(byCodeUnits),
    largestCommit,
  };
}

/** Of several names the first by its bytes stands for the file, in path and figures, of those by which it is an image at all. */
function addName(byIdentity: Map<string, Found>, identity: string, sighting: CachedExamination): void {
  const known = byIdentity.get(identity);
  if (known === undefined) {
    byIdentity.set(identity, { sighting, aliases: [], backingOf: [] });
    return;
  }
  const before = known.sighting;
  const isFirst = Buffer.compare(sighting.walked.pathBytes, before.walked.pathBytes) < 0;
  const isBetter = before.isOther === sighting.isOther ? isFirst : before.isOther;
  known.aliases.push((isBetter ? before : sighting).report.path);
  if (isBetter) known.sighting = sighting;
}

/** A file that cannot be opened is an image with an error, on the store of its directory; one that vanished is none. */
async function addUnopened(sighting: CachedExamination, notes: StoreNotes, images: Map<Notes, Found[]>): Promise<void> {
  const { error, path } = sighting.report;
  if (error === undefined || error.kind === 'not-found') return;
  try {
    pushTo(images, await notes.ofDirectory(dirname(path)), { sighting, aliases: [], backingOf: [] });
  } catch {
    notes.errors.push({ ...error, path });
  }
}

/** What it was told when it was read may be old: the one that this look asked counts. */
async function storeOf({ filesystem, walked }: CachedExamination, notes: StoreNotes): Promise<Notes> {
  const known = filesystem === undefined ? undefined : notes.stores.get(filesystem.id);
  if (known !== undefined) return known;
  try {
    return await notes.ofDirectory(dirname(walked.path));
  } catch (thrown) {
    if (filesystem === undefined) throw thrown;
    return notes.of(filesystem);
  }
}

/** Who is whose backing file, and how far external data files are written. Returns data files that lie elsewhere. */
async function linkImages(byIdentity: ReadonlyMap<string, Found>, notes: StoreNotes, readClaim: ReadClaim): Promise<Found[]> {
  const claims: Claims = new Map();
  for (const { sighting } of byIdentity.values()) {
    for (const link of sighting.report.chain) {
      const base = link.role === 'backing' && link.file !== undefined ? byIdentity.get(link.file) : undefined;
      if (base !== undefined) base.largestCommit = largerCommit(base.largestCommit, link, sighting.report.path);
      if (link.role === 'backing' && link.depth === 1) {
        base?.backingOf.push(sighting.report.path);
      } else if (link.role === 'data') noteClaim(claims, sighting, link, notes);
    }
  }
  const beyond = new Map<string, Found>();
  for (const { identity, path, format, reach, claimants } of claims.values()) {
    const target = byIdentity.get(identity);
    const read = await readClaim({ identity, path, format, reach, claimants, target: target?.sighting });
    if (read === undefined) continue;
    const known = target ?? beyond.get(identity);
    if (known === undefined) beyond.set(identity, { sighting: read, aliases: [], backingOf: [], largestCommit: undefined });
    else known.sighting = asClaimed(known.sighting, read);
  }
  return [...beyond.values()];
}

/** By identity and format: two images can claim one file, and differ. */
type Claims = Map<string, Omit<Claim, 'target' | 'reach' | 'claimants'> & { reach: number; readonly claimants: CachedExamination[] }>;

/** An external data file grows with its image, wherever it lies; one that cannot be read leaves the answer open. */
function noteClaim(claims: Claims, image: CachedExamination, { file, path, reach, format }: ChainLink, notes: StoreNotes): void {
  if (reach !== undefined && path !== null && file !== undefined) {
    const kind = format === 'vmdk' ? 'vmdk' : 'raw';
    const key = `${file} ${kind}`;
    const known = claims.get(key);
    if (known === undefined) claims.set(key, { identity: file, path, format: kind, reach, claimants: [image] });
    else {
      known.reach = Math.max(known.reach, reach);
      if (known.claimants.at(-1) !== image) known.claimants.push(image);
    }
    return;
  }
  if (image.filesystem === undefined) return;
  const { unreadable } = notes.of(notes.stores.get(image.filesystem.id)?.filesystem ?? image.filesystem);
  const message = `${image.report.path}: its external data file was not read, so the sums do not include its growth.`;
  // An image can name thousands.
  if (unreadable.at(-1)?.message !== message) unreadable.push({ level: 'critical', code: 'DATA_FILE_UNKNOWN', message });
}

/** A file as it was found, or as the data of another image, `read`: no claim makes its figures smaller, or hides an error. */
function asClaimed(found: CachedExamination, read: CachedExamination): CachedExamination {
  if (read.report.error !== undefined) return found;
  const isSmaller = (read.report.commitment ?? 0) < (found.report.commitment ?? 0);
  if (read.report.format === 'vmdk') return isSmaller || isUnreadable(found.report) || found.report.format === 'vmdk' ? found : read;
  if (!isImageOfItsOwn(found.report, read.report)) return isSmaller ? found : read;
  return isUnreadable(found.report) && !isSmaller ? { ...found, report: withLeast(found.report, read.report) } : found;
}

/** An image that could not be read, with what it can take at least as the data of another. */
function withLeast(report: ImageReport, least: ImageReport): ImageReport {
  const { commitment, residual, reclaimable, components, method } = least;
  const finding: Finding = {
    level: 'warning',
    code: 'FORMAT_UNPROVEN',
    message:
      'Another image uses this file as its data file, and the guest may have written the signature. It counts as a raw disk at least.',
  };
  const isKnown = report.findings.some(({ code }) => code === finding.code);
  return {
    ...report,
    commitment,
    residual,
    reclaimable,
    components,
    method,
    findings: isKnown ? report.findings : [...report.findings, finding],
  };
}

/**
 * Whether `found`, the file by its own signature, stands against `claimed`, the same file as another image's data: an image
 * can claim any file beside it, and what is an image stays one, unless the claim makes it larger.
 */
function isImageOfItsOwn(found: ImageReport, claimed: ImageReport): boolean {
  if (found.error !== undefined) return isUnreadable(found);
  return found.formatSource === 'signature' && (found.commitment ?? 0) >= (claimed.commitment ?? 0);
}

/** More is wrong than that the name promises a signature. */
function isUnreadable({ error }: ImageReport): boolean {
  return error !== undefined && error.code !== 'SIGNATURE_MISSING';
}

function pushTo<T>(lists: Map<Notes, T[]>, store: Notes, one: T): void {
  const list = lists.get(store);
  if (list === undefined) lists.set(store, [one]);
  else list.push(one);
}

export function byCodeUnits(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
