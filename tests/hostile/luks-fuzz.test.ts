/** LUKS headers with a few bytes changed at random: a value or a named error, within few reads. */
import { describe, expect, it } from 'vitest';
import { memoryDevice, withReadBudget } from '#block';
import { openLuks } from '#formats';
import { luksFigures, rawFigures } from '#commitment';
import { HEADER_V1, HEADER_V2 } from '../../src/formats/luks/layout.ts';
import { factsOf } from '../support/facts.ts';
import { HANG_MS } from '../support/hang.ts';
import { luks1, luks2, segment } from '../support/luks-builder.ts';
import { countMutations, kindOf } from './fuzzing.ts';
import { entryPlaces, fieldPlaces, type Subject } from './mutations.ts';

const RUNS = Number(process.env['PLIMSOLL_FUZZ_RUNS'] ?? 3000);
const SEED = Number(process.env['PLIMSOLL_FUZZ_SEED'] ?? 20261130);
const LENGTH = 65_536;

function subjects(): Subject[] {
  const read = (fields: object, ...names: string[]) => Object.fromEntries(Object.entries(fields).filter(([name]) => names.includes(name)));
  return [
    {
      bytes: luks1({ length: LENGTH, payloadSector: 64 }),
      places: fieldPlaces(read(HEADER_V1.fields, 'magic', 'version', 'payloadOffset', 'uuid'), 0, 'header'),
    },
    {
      bytes: luks2({ segments: { '0': segment(32_768) } }, { length: LENGTH }),
      places: [...fieldPlaces(read(HEADER_V2.fields, 'version', 'headerSize'), 0, 'header'), ...entryPlaces('JSON', 4096, 24, 4)],
    },
  ];
}

/** Whatever the header holds, the storage is that of a raw file. */
function outcome(bytes: Uint8Array): Promise<string> {
  return kindOf(async () => {
    const image = await openLuks(withReadBudget(memoryDevice(bytes), bytes.byteLength + 4096));
    const facts = factsOf(bytes.byteLength);
    const { capacity, ...figures } = luksFigures(image, facts);
    const { capacity: whole, ...raw } = rawFigures(facts);
    if (JSON.stringify(figures) !== JSON.stringify(raw)) throw new Error('figures that are not those of the raw file');
    if (capacity === null || capacity > (whole ?? 0) || capacity < 0) throw new Error('a capacity beyond the file');
    return 'report';
  });
}

describe('mutated LUKS headers', () => {
  it(`${RUNS} of them, seed ${SEED}: a value or a named error`, { timeout: HANG_MS + RUNS * 10 }, async () => {
    const seen = await countMutations({ runs: RUNS, seed: SEED }, subjects(), outcome);
    expect([...seen.keys()].toSorted()).toEqual(['corrupt', 'report', 'unsupported']);
    expect(seen.get('report')).toBeGreaterThan(RUNS / 20);
  });

  it('the unmodified subjects are valid', async () => {
    for (const { bytes } of subjects()) expect(await outcome(bytes)).toBe('report');
  });
});
