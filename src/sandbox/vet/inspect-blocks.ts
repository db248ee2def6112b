/** VHD, VDI and VHDX: a table of blocks, and perhaps a parent that the rest is read from. */
import { quoteForHumans } from '#base';
import type { BlockDevice } from '#block';
import { openVdi, openVhd, openVhdx, readVhdx, vhdAmbiguousRuns, type VhdImage } from '#formats';
import { isGuestData } from './data-places.ts';
import type { Inspected, InspectContext } from './inspectors.ts';
import { noteUnlessKept } from './reasons.ts';

export async function inspectVhd(device: BlockDevice, context: InspectContext): Promise<Inspected> {
  const { reasons, signal } = context;
  const image = await openVhd(device, signal);
  const { parent, footer, blocks } = image;
  if (parent !== undefined) judgeParent(parent.unicodeName.text ?? parent.uniqueId, context);
  if (!image.hasFooterAtEnd)
    reasons.note('FOOTER_MISSING', 'The footer at the end is missing: the image was not closed, or something follows it.');
  const sawBitmaps = parent !== undefined || blocks === undefined || (await judgeBitmaps(device, image, context));
  judgeSizes(footer, context);
  const isData = (at: number): Promise<boolean> => isGuestData(image.device, at);
  return {
    capacity: image.capacity,
    examined: sawBitmaps ? 'tables' : 'header',
    details: { subformat: footer.diskType },
    ...(parent === undefined ? { isData } : {}),
  };
}

/** Says where a bitmap hides data. false: not all of it could be looked at. */
async function judgeBitmaps(device: BlockDevice, image: VhdImage, { reasons, signal }: InspectContext): Promise<boolean> {
  try {
    for await (const { start } of vhdAmbiguousRuns(device, image, signal)) {
      reasons.ambiguous('SECTOR_BITMAP', 'A sector holds data that its bitmap calls unwritten: QEMU shows it, others show zeros.', start);
      break;
    }
    return true;
  } catch (thrown) {
    noteUnlessKept(thrown, reasons);
    return false;
  }
}

export async function inspectVdi(device: BlockDevice, context: InspectContext): Promise<Inspected> {
  const { capacity, header, parent, device: image } = await openVdi(device, context.signal);
  if (parent !== undefined) judgeParent(parent.uuid, context);
  const isData = (at: number): Promise<boolean> => isGuestData(image, at);
  const details = { subformat: header.imageType, blockSize: header.blockSize };
  return { capacity, examined: 'tables', details, ...(parent === undefined ? { isData } : {}) };
}

export async function inspectVhdx(device: BlockDevice, context: InspectContext): Promise<Inspected> {
  const read = await readVhdx(device);
  const { facts } = read;
  if (facts.log !== undefined)
    context.reasons.note(
      'LOG_PENDING',
      'The image was not closed: whoever opens it for writing first writes what its log holds. qemu-img reads it only after that: ' +
        'qemu-img check -f vhdx -r all FILE',
    );
  const details = { blockSize: facts.blockSize };
  if (facts.parentLocator !== undefined) {
    judgeParent(facts.parentLocator.entries.map(({ value }) => value.text).join(', '), context);
    return { capacity: facts.capacity, examined: 'header', details };
  }
  const image = await openVhdx(device, read);
  return { capacity: image.byteLength, examined: 'tables', details, isData: (at) => isGuestData(image, at) };
}

/** A cylinder of the largest geometry: two writers may round so much differently. */
const LARGEST_CYLINDER = 16 * 255 * 512;
/** The largest disk that a geometry can tell. */
const LARGEST_GEOMETRY = 65_535 * LARGEST_CYLINDER;

/** The footer tells the size twice, and programs differ in which they believe. */
function judgeSizes({ currentSize, geometryBytes }: { currentSize: number; geometryBytes: number }, { reasons }: InspectContext): void {
  const difference = Math.abs(currentSize - geometryBytes);
  if (difference === 0 || geometryBytes >= LARGEST_GEOMETRY) return;
  const message = `The footer tells two sizes, ${currentSize} bytes and a geometry of ${geometryBytes}: programs differ in which they take.`;
  if (difference <= LARGEST_CYLINDER) reasons.note('TWO_SIZES', message);
  else reasons.ambiguous('TWO_SIZES', message);
}

/** A differencing image is nothing without the other file that it names. */
function judgeParent(name: string, { policy, reasons }: InspectContext): void {
  if (!policy.chains) reasons.refuse('HAS_PARENT', `The image is a difference to another one: ${quoteForHumans(name, 200)}.`);
}
