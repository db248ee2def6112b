/** What a commit into a backing file can add to its commitment: QEMU extends the file to the capacity of the overlay first. */
import { asPlimsollError, formatBytes, PlimsollError, quoteForHumans, roundUp } from '#base';
import type { FileFacts, ReadableDevice, TableMemory } from '#block';
import { type LuksHeader, openQed, type Qcow2Header, type QedHeader, readCensus } from '#formats';
import { qcow2CommitGrowth, qedCommitGrowth, rawCommitGrowth } from '#commitment';
import { dataFileReach, metadataDevice, type ReferencedFile, type ReferenceResolver } from '#references';
import type { ChainLink, Finding } from '#wire';

/** The fields of a link that this fills in. */
export type CommitGrowth = Pick<ChainLink, 'commitGrowth' | 'commitUnknown'> & {
  /** It is not known for want of memory for tables: with more of it, it might be. */
  readonly isShortOfMemory?: boolean | undefined;
};

/** Many overlays share one base: its growth as one run found it, by identity, storage and the capacity above. */
export type KnownGrowth = Map<string, Promise<CommitGrowth>>;

/** A backing file, open, and the most that the images above it show their guests. */
export interface CommitTarget {
  readonly file: ReferencedFile;
  readonly facts: FileFacts;
  readonly path: Buffer;
  readonly capacityAbove: number;
  readonly depth: number;
  readonly resolver: ReferenceResolver;
  readonly knownGrowth: KnownGrowth;
  readonly tables?: TableMemory | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** QEMU writes these, but cannot extend them: a commit of a larger image fails before it writes anything. */
const NEVER_EXTENDED: ReadonlySet<string> = new Set(['vmdk', 'vpc', 'vhd', 'vhdx', 'vdi', 'qcow', 'parallels']);

/** Of a backing file in a format whose tables are not read. */
export function commitGrowthOfOther(format: string): CommitGrowth {
  if (NEVER_EXTENDED.has(format)) return { commitGrowth: 0 };
  return { commitGrowth: null, commitUnknown: `${quoteForHumans(format)} is not supported` };
}

/** Of a LUKS volume: its disk lies behind the header and reaches the end of the file. */
export function commitGrowthOfLuks({ facts, capacityAbove }: CommitTarget, { payloadOffset }: LuksHeader): CommitGrowth {
  return { commitGrowth: rawCommitGrowth(facts, facts.length, payloadOffset + roundUp(capacityAbove, SECTOR)) };
}

/** As `commitGrowthOfQcow2`, of a QED file. */
export async function commitGrowthOfQed(target: CommitTarget, header: QedHeader): Promise<CommitGrowth> {
  if (target.capacityAbove <= header.capacity) return { commitGrowth: 0 };
  return knownOrFound(target, async (device) => {
    const image = await openQed(device, target.signal);
    return qedCommitGrowth(await image.census(target.signal), target.facts, target.capacityAbove) ?? 0;
  });
}

export function commitGrowthOfRaw({ facts, capacityAbove }: CommitTarget): CommitGrowth {
  return { commitGrowth: rawCommitGrowth(facts, roundUp(facts.length, SECTOR), roundUp(capacityAbove, SECTOR)) };
}

/**
 * Of a qcow2 file; its tables are read only where an image above it is larger, and once in a run for each capacity above.
 *
 * Throws: AbortError.
 */
export async function commitGrowthOfQcow2(target: CommitTarget, header: Qcow2Header): Promise<CommitGrowth> {
  if (target.capacityAbove <= header.capacity) return { commitGrowth: 0 };
  if (header.externalDataFile) target.resolver.noteLookup(target.path, header.dataFileNameBytes ?? Buffer.alloc(0));
  return knownOrFound(target, (device) => qcow2Growth(target, device, header));
}

/** Throws: AbortError. */
async function knownOrFound(target: CommitTarget, find: (device: ReadableDevice) => Promise<number>): Promise<CommitGrowth> {
  const { file, facts, capacityAbove, knownGrowth: known } = target;
  const key = [file.identity, facts.length, facts.allocation, capacityAbove].join(' ');
  const growth = known.get(key) ?? growthFromTables(target, find);
  known.set(key, growth);
  try {
    const found = await growth;
    if (found.isShortOfMemory === true) known.delete(key);
    return found;
  } catch (thrown) {
    known.delete(key);
    throw thrown;
  }
}

const SECTOR = 512;

async function growthFromTables(target: CommitTarget, find: (device: ReadableDevice) => Promise<number>): Promise<CommitGrowth> {
  const { file, facts, signal, tables } = target;
  try {
    return { commitGrowth: await find(metadataDevice(file.device, facts, undefined, tables)) };
  } catch (thrown) {
    signal?.throwIfAborted();
    const error = asPlimsollError(thrown, 'read the tables of a backing file');
    if (error.kind === 'bug') throw error;
    return { commitGrowth: null, commitUnknown: error.message, isShortOfMemory: error.code === 'TABLE_MEMORY' };
  }
}

async function qcow2Growth(target: CommitTarget, device: ReadableDevice, header: Qcow2Header): Promise<number> {
  const census = await readCensus(device, header, target.signal);
  const own = qcow2CommitGrowth(census, target.facts, target.capacityAbove);
  if (own === undefined || !header.externalDataFile) return own ?? 0;
  return own + (await dataFileGrowth(target, header));
}

/** A backing file's own data file is extended with it. Throws: not-found, refused, io. */
async function dataFileGrowth({ file, path, depth, capacityAbove, resolver }: CommitTarget, header: Qcow2Header): Promise<number> {
  const { dataFileName: name = '', dataFileNameBytes: nameBytes = Buffer.alloc(0) } = header;
  const { file: data } = await resolver.openFile(path, { role: 'data', depth: depth + 1, name, nameBytes, format: 'raw' });
  try {
    if (data.identity === file.identity) throw isItself(name);
    return rawCommitGrowth(await data.facts(), dataFileReach(header), dataFileReach(header, capacityAbove));
  } finally {
    await data.close();
  }
}

function isItself(name: string): PlimsollError {
  return new PlimsollError('refused', 'REFERENCE_REFUSED', {
    doing: 'follow a reference of the image',
    field: 'external data file',
    found: name,
    expected: 'a file other than the backing file itself',
  });
}

/** The sentence on a link, if a commit into it adds to its commitment or may do so. */
export function commitFindings({ name, commitGrowth, commitUnknown }: ChainLink, capacityAbove: number): Finding[] {
  const base = quoteForHumans(name, 200);
  if (commitUnknown !== undefined) {
    const message = `The growth that a commit can cause in the backing file "${base}" is unknown: ${commitUnknown}.`;
    return [{ level: 'warning', code: 'COMMIT_GROWTH_UNKNOWN', message }];
  }
  if (commitGrowth === undefined || commitGrowth === null || commitGrowth === 0) return [];
  const message = `A commit into the backing file "${base}" extends it to ${formatBytes(capacityAbove)} first: it can then exceed its own commitment by ${formatBytes(commitGrowth)} (${commitGrowth} bytes).`;
  return [{ level: 'warning', code: 'COMMIT_GROWS_BASE', message }];
}
