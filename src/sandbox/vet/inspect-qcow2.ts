/** qcow2: what it refers to, what it holds, and whether its tables are sound. */
import { quoteForHumans } from '#base';
import type { ReadableDevice } from '#block';
import { checkTables, FORMAT_DRIVERS, type Qcow2Header, readQcow2Header, type TableCheck } from '#formats';
import { refusedName } from '#references';
import type { Inspected, InspectContext } from './inspectors.ts';
import { judgeStructures, judgeTables } from './judge-qcow2.ts';
import { MAX_SNAPSHOTS } from './policy.ts';
import { headerOnlyUnlessKept } from './reasons.ts';

/** Offsets in the header: qcow2 spec, "Header". */
const AT = { backingFile: 8, cryptMethod: 32, nbSnapshots: 60, incompatibleFeatures: 72 } as const;

export async function inspectQcow2(device: ReadableDevice, context: InspectContext): Promise<Inspected> {
  const { policy, reasons } = context;
  const header = await readQcow2Header(device);
  judgeReferences(header, context);
  if (header.corrupt) reasons.refuse('MARKED_CORRUPT', 'The image is marked corrupt: QEMU refuses to write it.', AT.incompatibleFeatures);
  if (header.dirty)
    reasons.note('MARKED_DIRTY', 'The image was not closed cleanly: opened for writing, it is repaired first.', AT.incompatibleFeatures);
  if (header.encryption !== 'none' && !policy.encryption)
    reasons.refuse('ENCRYPTED', `The guest's data is encrypted (${header.encryption}): contents cannot be inspected.`, AT.cryptMethod);
  if (header.encryption === 'aes' && policy.encryption)
    reasons.convert(
      'QEMU_CANNOT_OPEN',
      'The image is encrypted by AES-CBC (crypt_method 1): QEMU runs no guest from it, and only qemu-img with its secret converts it.',
      AT.cryptMethod,
    );
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
  const details = detailsOf(header);
  if (header.externalDataFile) return { capacity: header.capacity, examined: 'header', details };
  const isSmall = await judgeStructures(device, header, context);
  const check = isSmall ? await checkIfKept(device, header, context) : undefined;
  if (check !== undefined) await judgeTables(device, header, check, context);
  return {
    capacity: header.capacity,
    examined: check === undefined ? 'header' : 'tables',
    details,
    dataAmong: (places) => Promise.resolve(new Set(places.filter((at) => check?.isGuests(Math.floor(at / header.clusterSize)) === true))),
  };
}

/** undefined: the tables lie in a part of a stream that was not kept. */
async function checkIfKept(
  device: ReadableDevice,
  header: Qcow2Header,
  { reasons, signal }: InspectContext,
): Promise<TableCheck | undefined> {
  try {
    return await checkTables(device, header, signal);
  } catch (thrown) {
    headerOnlyUnlessKept(thrown, reasons);
    return undefined;
  }
}

/** QEMU's drivers that read a file; others connect to somewhere, or open what they please. */
const BACKING_FORMATS: ReadonlySet<string> = new Set([
  'raw',
  ...FORMAT_DRIVERS.flatMap((driver) => (driver.isEncrypted === true ? [] : [driver.qemuDriver])),
]);

/** A name in an image is a request to open another file, with the rights of the process that opens the image. */
function judgeReferences(header: Qcow2Header, { policy, reasons }: InspectContext): void {
  const { backingFile, dataFileName } = header;
  if (header.externalDataFile) {
    reasons.refuse('HAS_DATA_FILE', `The guest's data is read from another file: ${shown(dataFileName)}.`, AT.incompatibleFeatures);
  } else if (dataFileName !== undefined) {
    reasons.refuse(
      'DATA_FILE_WITHOUT_BIT',
      `The image names a data file (${shown(dataFileName)}), but its data-file feature bit is not set.`,
    );
  }
  if (backingFile === undefined) return;
  const scheme = refusedName(backingFile);
  if (scheme !== undefined) reasons.refuse('BACKING_SCHEME', `The backing file is ${shown(backingFile)}: ${scheme}.`, AT.backingFile);
  else {
    const message = `Unwritten guest data is read from another file: ${shown(backingFile)}.`;
    if (policy.chains) reasons.note('HAS_BACKING_FILE', `${message} The policy allows it: vet that file too.`, AT.backingFile);
    else reasons.refuse('HAS_BACKING_FILE', message, AT.backingFile);
  }
  if (header.backingFormat !== undefined && !BACKING_FORMATS.has(header.backingFormat))
    reasons.refuse(
      'BACKING_FORMAT',
      `The backing file is to be read by the driver ${shown(header.backingFormat)}, which is not an image format.`,
      AT.backingFile,
    );
  if (header.backingFormat === undefined)
    reasons.refuse(
      'BACKING_FORMAT_UNDECLARED',
      'The image does not declare the format of its backing file: QEMU would probe it.',
      AT.backingFile,
    );
}

function shown(name: string | undefined): string {
  return name === undefined ? 'one that it does not name' : quoteForHumans(name);
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
