/** qcow images with a few bytes changed at random: a value or a named error, within few reads. */
import { describe, expect, it } from 'vitest';
import { memoryDevice, readUpTo, withReadBudget } from '#block';
import { openQcow } from '#formats';
import { qcowFigures } from '#commitment';
import { HEADER } from '../../src/formats/qcow/layout.ts';
import { factsOf } from '../support/facts.ts';
import { HANG_MS } from '../support/hang.ts';
import { aQcow, CLUSTER, PLACES, type QcowBuilder } from '../support/qcow-builder.ts';
import { countMutations, kindOf } from './fuzzing.ts';
import { entryPlaces, fieldPlaces, type Subject } from './mutations.ts';

const RUNS = Number(process.env['PLIMSOLL_FUZZ_RUNS'] ?? 4000);
const SEED = Number(process.env['PLIMSOLL_FUZZ_SEED'] ?? 20261201);
const MiB = 1024 * 1024;

function subjects(): Subject[] {
  const image = aQcow()
    .withEntry('l2', 0, PLACES.data)
    .withEntry('l2', 2, PLACES.data + CLUSTER)
    .withCompressed(3, new Uint8Array(CLUSTER).fill(9));
  return [subject(image), subject(aQcow().withBacking('base.img').withEntry('l2', 1, PLACES.data))];
}

function subject(image: QcowBuilder): Subject {
  const { mtime: _, padding: __, ...fields } = HEADER.fields;
  const places = [...fieldPlaces(fields, 0, 'header'), ...entryPlaces('L1', PLACES.l1, 2), ...entryPlaces('L2', PLACES.l2, 4)];
  return { bytes: image.bytes(), places };
}

function outcome(bytes: Uint8Array): Promise<string> {
  return kindOf(async () => {
    const image = await openQcow(withReadBudget(memoryDevice(bytes), 6 * bytes.byteLength + 65_536));
    const { commitment, allocation, components, maxLength } = qcowFigures(await image.survey(), factsOf(bytes.byteLength));
    if (commitment === null || allocation === null || maxLength === null || !(commitment >= allocation))
      throw new Error('a figure is wrong');
    if (components.reduce((sum, component) => sum + component.bytes, 0) !== commitment)
      throw new Error('the components do not sum to the commitment');
    const end = Math.min(image.capacity, MiB);
    let at = 0;
    for await (const extent of image.device.extents(0, end)) {
      if (extent.start !== at || extent.end <= at) throw new Error('a gap or an empty extent');
      at = extent.end;
    }
    if (at !== end) throw new Error('extents end early');
    if (image.header.backingFile === undefined) await readUpTo(image.device, 0, Math.min(end, 8 * CLUSTER));
    return 'report';
  });
}

describe('mutated qcow images', () => {
  it(`${RUNS} of them, seed ${SEED}: a value or a named error`, { timeout: HANG_MS + RUNS * 10 }, async () => {
    const seen = await countMutations({ runs: RUNS, seed: SEED }, subjects(), outcome);
    expect([...seen.keys()].toSorted()).toEqual(expect.arrayContaining(['corrupt', 'report', 'unsupported']));
    expect(seen.get('report')).toBeGreaterThan(RUNS / 20);
  });

  it('the subjects themselves are read', async () => {
    for (const { bytes } of subjects()) expect(await outcome(bytes)).toBe('report');
  });

  it.each(Array.from({ length: 40 }, (_, index) => index * 700))('cut off after %i bytes: a value or a named error', async (length) => {
    for (const { bytes } of subjects()) expect(await outcome(bytes.subarray(0, length))).toMatch(/^(report|corrupt)$/);
  });
});
