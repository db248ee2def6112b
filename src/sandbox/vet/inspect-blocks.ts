/** VHD, VDI and VHDX: a table of blocks, and perhaps a parent that the rest is read from. */
import { quoteForHumans } from '#base';
import type { BlockDevice } from '#block';
import { openVdi, openVhd, openVhdx, readVhdx, vhdAmbiguousRuns } from '#formats';
import type { Inspected, InspectContext } from './inspectors.ts';

export async function inspectVhd(device: BlockDevice, context: InspectContext): Promise<Inspected> {
  const { reasons, signal } = context;
  const image = await openVhd(device, signal);
  const { parent, footer, blocks } = image;
  if (parent !== undefined) judgeParent(parent.unicodeName.text ?? parent.uniqueId, context);
  if (!image.hasFooterAtEnd)
    reasons.note('FOOTER_MISSING', 'The footer at the end is missing: the image was not closed, or something follows it.');
  if (parent === undefined && blocks !== undefined) {
    for await (const { start } of vhdAmbiguousRuns(device, image, signal)) {
      reasons.ambiguous('SECTOR_BITMAP', 'A sector holds data that its bitmap calls unwritten: QEMU shows it, others show zeros.', start);
      break;
    }
  }
  return { capacity: image.capacity, examined: 'tables', details: { subformat: footer.diskType } };
}

export async function inspectVdi(device: BlockDevice, context: InspectContext): Promise<Inspected> {
  const { capacity, header, parent } = await openVdi(device, context.signal);
  if (parent !== undefined) judgeParent(parent.uuid, context);
  return { capacity, examined: 'tables', details: { subformat: header.imageType, blockSize: header.blockSize } };
}

export async function inspectVhdx(device: BlockDevice, context: InspectContext): Promise<Inspected> {
  const { facts } = await readVhdx(device);
  if (facts.log !== undefined)
    context.reasons.note('LOG_PENDING', 'The image was not closed: whoever opens it for writing first writes what its log holds.');
  const details = { blockSize: facts.blockSize };
  if (facts.parentLocator !== undefined) {
    judgeParent(facts.parentLocator.entries.map(({ value }) => value.text).join(', '), context);
    return { capacity: facts.capacity, examined: 'header', details };
  }
  return { capacity: (await openVhdx(device)).byteLength, examined: 'tables', details };
}

/** A differencing image is nothing without the other file that it names. */
function judgeParent(name: string, { policy, reasons }: InspectContext): void {
  if (!policy.chains) reasons.refuse('HAS_PARENT', `The image is a difference to another one: ${quoteForHumans(name, 200)}.`);
}
