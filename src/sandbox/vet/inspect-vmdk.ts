/** VMDK: the one-file subformats, judged by a strict reading of the descriptor; all names of other files are shown. */
import { PlimsollError, quoteForHumans } from '#base';
import type { ReadableDevice } from '#block';
import { openVmdk, readVmdkFacts, type VmdkCensus, type VmdkImage } from '#formats';
import type { Inspected, InspectContext } from './inspectors.ts';
import type { Reasons } from './reasons.ts';
import { judgeHazards } from './write-hazards.ts';

const SECTOR = 512;

/** Hazards that no known writer leaves behind. */
const HOSTILE_HAZARDS: readonly string[] = ['VMDK_TABLES_MISSING'];

export async function inspectVmdk(device: ReadableDevice, { reasons, signal }: InspectContext): Promise<Inspected> {
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
  judgeCensus(await image.census(signal), image, reasons);
  await judgeMarkers(image, reasons, signal);
  return {
    capacity: image.device.byteLength,
    examined: 'tables',
    details: { subformat: createType, grainBytes: image.header.grainBytes },
    dataAmong: (places) => image.dataAmong(places, signal),
  };
}

/** A stream that arrives keeps few of its markers: its tables are examined nevertheless. */
async function judgeMarkers(image: VmdkImage, reasons: Reasons, signal: AbortSignal | undefined): Promise<void> {
  try {
    if (await image.checkMarkers(signal)) return;
  } catch (thrown) {
    if (!(thrown instanceof PlimsollError) || thrown.code !== 'STREAM_NOT_KEPT') throw thrown;
  }
  reasons.note('MARKERS_NOT_READ', 'Not all markers in front of compressed grains were compared with the grain tables.');
}

function judgeCensus(census: VmdkCensus, image: VmdkImage, reasons: Reasons): void {
  if (census.sharedGrain !== undefined)
    reasons.refuse(
      'VMDK_GRAIN_TWICE',
      'Two grains of the disk share one offset in the file: a write to one changes the other.',
      census.sharedGrain * SECTOR,
    );
  judgeHazards(image.writeHazards(census), HOSTILE_HAZARDS, reasons);
}
