/** VHD, VDI and VHDX: a table of blocks, and perhaps a parent that the rest is read from. */
import { quoteForHumans } from '#base';
import type { ReadableDevice } from '#block';
import {
  guestDataAmong,
  hasTwoVhdSizes,
  openVdi,
  openVhd,
  openVhdx,
  readVhdx,
  vhdAmbiguousRuns,
  type VhdFooter,
  type VhdImage,
  vhdxWriteHazards,
} from '#formats';
import type { DataAmong, Inspected, InspectContext } from './inspectors.ts';
import { headerOnlyUnlessKept } from './reasons.ts';
import { judgeHazards } from './write-hazards.ts';

export async function inspectVhd(device: ReadableDevice, context: InspectContext): Promise<Inspected> {
  const { reasons, signal } = context;
  const image = await openVhd(device, signal);
  const { parent, footer, blocks } = image;
  if (parent !== undefined) judgeParent(parent.unicodeName.text ?? parent.uniqueId, context);
  if (!image.hasFooterAtEnd)
    reasons.note('FOOTER_MISSING', 'The footer at the end is missing: the image was not closed, or other data follows it.');
  const sawBitmaps = parent !== undefined || blocks === undefined || (await judgeBitmaps(device, image, context));
  judgeSizes(footer, context);
  judgeHazards(image.writeHazards, ['VHD_NEXT_BLOCK'], reasons);
  const dataAmong: DataAmong = (places) => guestDataAmong(image.device, places, signal);
  return {
    capacity: image.capacity,
    examined: sawBitmaps ? 'tables' : 'header',
    details: { subformat: footer.diskType },
    ...(parent === undefined ? { dataAmong } : {}),
  };
}

/** Says where a bitmap hides data. false: not all of it could be looked at. */
async function judgeBitmaps(device: ReadableDevice, image: VhdImage, { reasons, signal }: InspectContext): Promise<boolean> {
  try {
    for await (const { start } of vhdAmbiguousRuns(device, image, signal)) {
      reasons.ambiguous(
        'SECTOR_BITMAP',
        'A sector holds data although its bitmap marks it unwritten: QEMU reads the data, other programs read zeros.',
        start,
      );
      break;
    }
    return true;
  } catch (thrown) {
    headerOnlyUnlessKept(thrown, reasons);
    return false;
  }
}

export async function inspectVdi(device: ReadableDevice, context: InspectContext): Promise<Inspected> {
  const { capacity, header, parent, device: image, writeHazards } = await openVdi(device, context.signal);
  judgeHazards(writeHazards, ['VDI_BLOCKS_ALLOCATED'], context.reasons);
  if (parent !== undefined) judgeParent(parent.uuid, context);
  const dataAmong: DataAmong = (places) => guestDataAmong(image, places, context.signal);
  const details = { subformat: header.imageType, blockSize: header.blockSize };
  return { capacity, examined: 'tables', details, ...(parent === undefined ? { dataAmong } : {}) };
}

/** The only logical sector size of a VHDX that QEMU 7.2 opens. */
const QEMU_SECTOR_BYTES = 512;

export async function inspectVhdx(device: ReadableDevice, context: InspectContext): Promise<Inspected> {
  const read = await readVhdx(device);
  const { facts } = read;
  judgeHazards(vhdxWriteHazards(facts), [], context.reasons);
  if (facts.log !== undefined)
    context.reasons.convert(
      'LOG_PENDING',
      'The image was not closed: its log is applied when it is opened for writing, and qemu-img reads it only after that.',
    );
  if (facts.logicalSectorSize !== QEMU_SECTOR_BYTES)
    context.reasons.convert(
      'QEMU_CANNOT_OPEN',
      `The disk has sectors of ${facts.logicalSectorSize} bytes, and QEMU opens only those with sectors of ${QEMU_SECTOR_BYTES}: convert it with the program that made it.`,
    );
  const details = { blockSize: facts.blockSize, sectorSize: facts.logicalSectorSize };
  if (facts.parentLocator !== undefined) {
    judgeParent(facts.parentLocator.entries.map(({ value }) => value.text).join(', '), context);
    return { capacity: facts.capacity, examined: 'header', details };
  }
  const image = await openVhdx(device, read);
  return { capacity: image.byteLength, examined: 'tables', details, dataAmong: (places) => guestDataAmong(image, places, context.signal) };
}

/** A cylinder of the largest geometry: two writers may round so much differently. */
const LARGEST_CYLINDER = 16 * 255 * 512;

/** The footer gives the size twice, and programs differ in which they believe. */
function judgeSizes(footer: VhdFooter, { reasons }: InspectContext): void {
  if (!hasTwoVhdSizes(footer)) return;
  const { currentSize, geometryBytes, capacityFrom } = footer;
  const message = `The footer gives two sizes, ${currentSize} bytes and a geometry of ${geometryBytes}: QEMU takes the ${capacityFrom}; other programs may take the other one.`;
  if (Math.abs(currentSize - geometryBytes) <= LARGEST_CYLINDER) reasons.note('GEOMETRY_SIZE_MISMATCH', message);
  else reasons.ambiguous('GEOMETRY_SIZE_MISMATCH', message);
}

/** A differencing image is nothing without the other file that it names. */
function judgeParent(name: string, { policy, reasons }: InspectContext): void {
  const parent = quoteForHumans(name, 200);
  if (!policy.chains) reasons.refuse('HAS_PARENT', `The image is a differencing image with the parent ${parent}.`);
  // QEMU refuses such a VDI or VHDX; of a VHD it shows zeros where the parent's bytes belong.
  else reasons.convert('QEMU_CANNOT_OPEN', `The image is a differencing image with the parent ${parent}, which QEMU does not read.`);
}
