/**
 * Mutated images end in a report or in an error of a named kind, never in a bug. A fixed seed; for a longer run by hand:
 * PLIMSOLL_FUZZ_RUNS=1000000 PLIMSOLL_FUZZ_SEED=7 npx vitest run --project hostile tests/hostile/fuzz.test.ts
 */
import { describe, expect, it } from 'vitest';
import { type FileFacts, memoryDevice, type ReadableDevice, withReadBudget } from '#block';
import { openQcow2, readCensus, readQcow2Header } from '#formats';
import { qcow2Figures } from '#commitment';
import { HANG_MS } from '../support/hang.ts';
import { countOutcomes, kindOf } from './fuzzing.ts';
import { mutate, requireOnlyMutated, subjects } from './mutations.ts';

const RUNS = Number(process.env['PLIMSOLL_FUZZ_RUNS'] ?? 20_000);
const SEED = Number(process.env['PLIMSOLL_FUZZ_SEED'] ?? 20261123);

const HAS_MAP = [true, false];

function factsOf(bytes: Uint8Array, hasMap: boolean): FileFacts {
  const map = [
    {
      fileOffset: 0,
      byteLength: Math.ceil(bytes.byteLength / 4096) * 4096,
      physicalOffset: 0,
      shared: false,
      unwritten: false,
      encoded: false,
    },
  ];
  return {
    identity: '1:1',
    length: bytes.byteLength,
    allocation: Math.ceil(bytes.byteLength / 4096) * 4096,
    filesystem: 'ext4',
    fsBlockSize: 4096,
    map: hasMap ? map : undefined,
    extentSizeHint: 0,
    cowExtentSize: 0,
    noCow: undefined,
    openForWriting: undefined,
  };
}

/** What the image comes to: the kind of its error, or `report`. */
function outcome(bytes: Uint8Array, hasMap: boolean): Promise<string> {
  return kindOf(async () => {
    const device = withReadBudget(memoryDevice(bytes), 2 ** 28);
    const header = await readQcow2Header(device);
    const { commitment, allocation, components } = qcow2Figures(await readCensus(device, header), factsOf(bytes, hasMap));
    if (commitment === null || allocation === null || !(commitment >= allocation))
      throw new Error(`commitment ${commitment} below allocation ${allocation}`);
    if (components.reduce((sum, component) => sum + component.bytes, 0) !== commitment)
      throw new Error('the components do not sum to the commitment');
    if (header.capacity < 2 ** 32) await walkExtents(await openQcow2(device, { ...header, encryption: 'none' }, { dataFile: device }));
    return 'report';
  });
}

async function walkExtents(image: ReadableDevice): Promise<void> {
  let at = 0;
  for await (const { start, end } of image.extents(0, image.byteLength)) {
    if (start !== at || end <= start) throw new Error(`an extent from ${start} to ${end} after ${at}`);
    at = end;
  }
  if (at !== image.byteLength) throw new Error(`extents that end at ${at} of ${image.byteLength}`);
}

describe('mutated images', () => {
  it(`${RUNS} of them, seed ${SEED}: a report or a named error`, { timeout: HANG_MS + RUNS * 10 }, async () => {
    const all = subjects();
    const seen = await countOutcomes({ runs: RUNS, seed: SEED }, (random, run) => {
      const { bytes, changes } = mutate(all[run % all.length] as (typeof all)[number], random);
      return { changes, outcome: () => outcome(bytes, HAS_MAP[run % 2] as boolean) };
    });
    for (const one of all) requireOnlyMutated(one);
    // over-budget: tables of bitmaps for more than any disk needs, which one run of 40,000 announces.
    for (const kind of seen.keys()) expect(['corrupt', 'over-budget', 'report', 'unsupported']).toContain(kind);
    for (const kind of ['corrupt', 'report', 'unsupported']) expect([...seen.keys()]).toContain(kind);
    expect(seen.get('report')).toBeGreaterThan(RUNS / 20);
  });

  it('the unmodified subjects are valid', async () => {
    for (const { bytes, places } of subjects()) {
      expect(await outcome(bytes, true)).toBe('report');
      expect(places.length).toBeGreaterThan(25);
    }
  });
});
