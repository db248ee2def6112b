/** qcow2: what it refers to, what it holds, and whether its tables are sound. */
import { quoteForHumans } from '#base';
import type { BlockDevice } from '#block';
import { type Census, type Qcow2Header, readCensus, readQcow2Header } from '#formats';
import { refusedName } from '../references.ts';
import type { Inspected, InspectContext } from './inspectors.ts';
import { MAX_SNAPSHOTS } from './policy.ts';
import { noteUnlessKept } from './reasons.ts';

/** Offsets in the header: qcow2 spec, "Header". */
const AT = { backingFile: 8, cryptMethod: 32, nbSnapshots: 60, incompatibleFeatures: 72 } as const;

export async function inspectQcow2(device: BlockDevice, context: InspectContext): Promise<Inspected> {
  const { policy, reasons } = context;
  const header = await readQcow2Header(device);
  judgeReferences(header, context);
  if (header.corrupt) reasons.refuse('MARKED_CORRUPT', 'The image is marked corrupt: QEMU refuses to write it.', AT.incompatibleFeatures);
  if (header.dirty)
    reasons.note('MARKED_DIRTY', 'The image was not closed cleanly: opened for writing, it is repaired first.', AT.incompatibleFeatures);
  if (header.encryption !== 'none' && !policy.encryption)
    reasons.refuse('ENCRYPTED', `The guest's data is encrypted (${header.encryption}): nobody can look inside.`, AT.cryptMethod);
  if (header.nbSnapshots > 0 && !policy.snapshots)
    reasons.refuse('HAS_SNAPSHOTS', `The image holds ${header.nbSnapshots} internal snapshots.`, AT.nbSnapshots);
  if (header.nbSnapshots > MAX_SNAPSHOTS) {
    reasons.refuse(
      'TOO_MANY_SNAPSHOTS',
      `The image holds ${header.nbSnapshots} internal snapshots; at most ${MAX_SNAPSHOTS} are accepted.`,
      AT.nbSnapshots,
    );
    return { capacity: header.capacity, examined: 'header', details: detailsOf(header) };
  }
  if (header.bitmaps !== undefined && !policy.bitmaps)
    reasons.refuse('HAS_BITMAPS', `The image holds ${header.bitmaps.nbBitmaps} persistent bitmaps.`, header.bitmaps.directoryOffset);
  const census = await censusIfKept(device, header, context);
  if (census !== undefined) judgeCensus(census, context);
  return {
    capacity: header.capacity,
    examined: census === undefined ? 'header' : 'tables',
    details: detailsOf(header),
    dataAmong: (places) => Promise.resolve(new Set(places.filter((at) => census !== undefined && isGuestData(census, at)))),
  };
}

/** Of the active disk, of a snapshot, or compressed: the guest chose the bytes. An external data file is another file. */
function isGuestData({ header, inPlace, otherData }: Census, at: number): boolean {
  const cluster = Math.floor(at / header.clusterSize);
  return !header.externalDataFile && (inPlace.has(cluster) || otherData.has(cluster));
}

/** QEMU's drivers that read a file; others connect to somewhere, or open what they please. */
const BACKING_FORMATS: ReadonlySet<string> = new Set(['raw', 'qcow2', 'vmdk', 'vpc', 'vhdx', 'vdi', 'qcow', 'qed']);

/** A name in an image is a request to open another file, with the rights of whoever opens the image. */
function judgeReferences(header: Qcow2Header, { policy, reasons }: InspectContext): void {
  const { backingFile, dataFileName } = header;
  if (header.externalDataFile) {
    reasons.refuse('HAS_DATA_FILE', `The guest's data is read from another file: ${shown(dataFileName)}.`, AT.incompatibleFeatures);
  } else if (dataFileName !== undefined) {
    reasons.refuse('DATA_FILE_WITHOUT_BIT', `The image names a data file (${shown(dataFileName)}) and does not say that it uses one.`);
  }
  if (backingFile === undefined) return;
  const scheme = refusedName(backingFile);
  if (scheme !== undefined) reasons.refuse('BACKING_SCHEME', `The backing file is ${shown(backingFile)}: ${scheme}.`, AT.backingFile);
  else {
    const message = `What the guest has not written is read from another file: ${shown(backingFile)}.`;
    if (policy.chains) reasons.note('HAS_BACKING_FILE', `${message} The policy allows it: judge that file too.`, AT.backingFile);
    else reasons.refuse('HAS_BACKING_FILE', message, AT.backingFile);
  }
  if (header.backingFormat !== undefined && !BACKING_FORMATS.has(header.backingFormat))
    reasons.refuse(
      'BACKING_FORMAT',
      `The backing file is to be read by the driver ${shown(header.backingFormat)}, which is no image format.`,
      AT.backingFile,
    );
  if (header.backingFormat === undefined)
    reasons.refuse(
      'BACKING_FORMAT_UNDECLARED',
      'The image does not say which format its backing file has: QEMU would guess.',
      AT.backingFile,
    );
}

function shown(name: string | undefined): string {
  return name === undefined ? 'one that it does not name' : quoteForHumans(name);
}

/** undefined: the tables lie in a part of a stream that was not kept. */
async function censusIfKept(device: BlockDevice, header: Qcow2Header, { reasons, signal }: InspectContext): Promise<Census | undefined> {
  try {
    return await readCensus(device, header, signal);
  } catch (thrown) {
    noteUnlessKept(thrown, reasons);
    return undefined;
  }
}

function judgeCensus(census: Census, { reasons }: InspectContext): void {
  const { clusterSize } = census.header;
  if (census.unaccountedCount > 0) {
    reasons.refuse(
      'REFCOUNT_MISSING',
      `${census.unaccountedCount} clusters are in use and not marked so: the first write may overwrite data.`,
    );
  }
  if (census.undercounted > 0)
    reasons.refuse(
      'REFCOUNT_TOO_LOW',
      `${census.undercounted} clusters hold the compressed data of more places than their refcounts say: freed by one, they are gone for all.`,
    );
  if (census.usedTwice > 0)
    reasons.refuse(
      'CLUSTER_USED_TWICE',
      `${census.usedTwice} clusters hold the data of more than one place on the disk: a write to one changes the other.`,
    );
  if (census.dataOverTable !== undefined) {
    const at = census.dataOverTable * clusterSize;
    reasons.refuse(
      'DATA_OVER_TABLE',
      "The guest's data lies where a table of the image lies: the guest reads it, and frees it by writing.",
      at,
    );
  }
  if (census.unsound !== undefined)
    reasons.refuse('ENTRY_UNSOUND', `A table entry contradicts the format: ${census.unsound.what}.`, census.unsound.at);
  if (census.leakedCount > 0)
    reasons.note(
      'LEAKED_CLUSTERS',
      `Clusters of ${clusterSize} bytes that are marked used, and that nothing refers to: ${census.leakedCount}.`,
    );
  if (census.beyondEnd > 0)
    reasons.refuse(
      'DATA_BEYOND_END',
      `Clusters of the guest's data that lie behind the end of the file: ${census.beyondEnd}. It is cut off.`,
    );
}

function detailsOf(header: Qcow2Header): Record<string, string | number | boolean> {
  return {
    version: header.version,
    clusterSize: header.clusterSize,
    extendedL2: header.extendedL2,
    compressionType: header.compressionType,
    encryption: header.encryption,
    internalSnapshots: header.nbSnapshots,
    bitmaps: header.bitmaps?.nbBitmaps ?? 0,
  };
}
