/** VDI images with a few bytes changed at random: a value or a named error, within few reads. */
import { describe, expect, it } from 'vitest';
import { memoryDevice, readUpTo, withReadBudget } from '#block';
import { openVdi } from '#formats';
import { vdiFigures } from '#commitment';
import { HANG_MS } from '../support/hang.ts';
import { HEADER } from '../../src/formats/vdi/layout.ts';
import { factsOf } from '../support/facts.ts';
import { aVdi, MAP_AT, type VdiBuilder } from '../support/vdi-builder.ts';
import { countMutations, kindOf } from './fuzzing.ts';
import { entryPlaces, fieldPlaces, type Subject } from './mutations.ts';

const RUNS = Number(process.env['PLIMSOLL_FUZZ_RUNS'] ?? 6000);
const SEED = Number(process.env['PLIMSOLL_FUZZ_SEED'] ?? 20261125);
const MiB = 1024 * 1024;

function subjects(): Subject[] {
  return [subject(aVdi().withBlock(1, 0x11)), subject(aVdi({ capacity: MiB, imageType: 4 }).withBlock(0, 0x22))];
}

function subject(image: VdiBuilder): Subject {
  // The texts are not read.
  const fields = Object.fromEntries(Object.entries(HEADER.fields).filter(([name]) => name !== 'text' && name !== 'description'));
  return { bytes: image.bytes(), places: [...fieldPlaces(fields, 0, 'header'), ...entryPlaces('map', MAP_AT, 3, 4)] };
}

function outcome(bytes: Uint8Array): Promise<string> {
  return kindOf(async () => {
    const image = await openVdi(withReadBudget(memoryDevice(bytes), 4 * bytes.byteLength + 65_536));
    const { commitment, allocation, components, maxLength } = vdiFigures(image, factsOf(bytes.byteLength));
    if (commitment === null || allocation === null || maxLength === null || !(commitment >= allocation))
      throw new Error('a figure is wrong');
    if (components.reduce((sum, component) => sum + component.bytes, 0) !== commitment)
      throw new Error('the components do not sum to the commitment');
    const end = Math.min(image.capacity, 4 * MiB);
    let at = 0;
    for await (const extent of image.device.extents(0, end)) {
      if (extent.start !== at || extent.end <= at) throw new Error('a gap or an empty extent');
      at = extent.end;
    }
    if (at !== end) throw new Error('extents end early');
    if (
      (await readUpTo(image.device, end - Math.min(end, 4096), 8192)).byteLength !==
      Math.min(8192, image.capacity - end + Math.min(end, 4096))
    )
      throw new Error('a short read');
    return 'report';
  });
}

describe('mutated VDI images', () => {
  it(`${RUNS} of them, seed ${SEED}: a value or a named error`, { timeout: HANG_MS + RUNS * 10 }, async () => {
    const seen = await countMutations({ runs: RUNS, seed: SEED }, subjects(), outcome);
    expect([...seen.keys()].toSorted()).toEqual(['corrupt', 'over-budget', 'report', 'unsupported']);
    expect(seen.get('report')).toBeGreaterThan(RUNS / 10);
  });

  it('the unmodified subjects are valid', async () => {
    for (const { bytes } of subjects()) expect(await outcome(bytes)).toBe('report');
  });
});
