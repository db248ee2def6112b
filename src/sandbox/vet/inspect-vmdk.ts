/** VMDK: the one-file subformats, judged by a strict reading of the descriptor; all names of other files are shown. */
import { quoteForHumans } from '#base';
import type { BlockDevice } from '#block';
import { openVmdk, readVmdkFacts } from '#formats';
import { isGuestData } from './data-places.ts';
import type { Inspected, InspectContext } from './inspectors.ts';

export async function inspectVmdk(device: BlockDevice, { reasons, signal }: InspectContext): Promise<Inspected> {
  const facts = await readVmdkFacts(device);
  const { createType } = facts.descriptor;
  // An extent that is the image itself is no request.
  for (const { role, text } of facts.refusal === undefined ? [] : facts.requests)
    reasons.refuse('NAMES_OTHER_FILE', `The descriptor names another file (${role}): ${quoteForHumans(text, 200)}.`);
  if (facts.refusal !== undefined) {
    reasons.error(facts.refusal);
    return { capacity: null, examined: 'header', details: { subformat: createType } };
  }
  const image = await openVmdk(device, signal);
  await image.census(signal);
  return {
    capacity: image.device.byteLength,
    examined: 'tables',
    details: { subformat: createType, grainBytes: image.header.grainBytes },
    isData: (at) => isGuestData(image.device, at),
  };
}
