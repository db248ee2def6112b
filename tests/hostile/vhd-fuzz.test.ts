/** VHD images with a few bytes changed at random, checksums mended or not: a value or a named error, within few reads. */
import { describe, expect, it } from 'vitest';
import { memoryDevice, readUpTo, withReadBudget } from '#block';
import { openVhd, vhdAmbiguousRuns } from '#formats';
import { vhdFigures } from '#commitment';
import { HANG_MS } from '../support/hang.ts';
import { DYNAMIC_HEADER, FOOTER, PARENT_LOCATOR } from '../../src/formats/vhd/layout.ts';
import { aVhd, HEADER_AT, checksumFooter, checksumHeader, TABLE_AT, text } from '../support/vhd-builder.ts';
import { factsOf } from '../support/facts.ts';
import { countOutcomes, kindOf } from './fuzzing.ts';
import { entryPlaces, fieldPlaces, mutate, type Place, type Subject } from './mutations.ts';

const RUNS = Number(process.env['PLIMSOLL_FUZZ_RUNS'] ?? 6000);
const SEED = Number(process.env['PLIMSOLL_FUZZ_SEED'] ?? 20261124);

function subjects(): Subject[] {
  const dynamic = aVhd().withBlock(3, 0x11).withBlock(0, 0x22).withBlock(7, 0x33, 0xf0);
  const differencing = aVhd({ diskType: 'differencing', capacity: 16_384 })
    .withHeader('parentUnicodeName', text('\0p\0a\0r\0e\0n\0t').slice())
    .withParentLocator(0, 'W2ru', text('.\0\\\0a\0'))
    .withParentLocator(1, 'MacX', text('file:///a'))
    .withBlock(1, 0x44)
    .withBlock(0, 0x55);
  const fixed = aVhd({ diskType: 'fixed', capacity: 8192 });
  return [
    { bytes: dynamic.bytes(), places: dynamicPlaces(dynamic.dataEnd) },
    { bytes: differencing.bytes(), places: [...dynamicPlaces(differencing.dataEnd), ...locatorPlaces()] },
    { bytes: fixed.bytes(), places: fieldPlaces(FOOTER.fields, fixed.dataEnd, 'footer') },
  ];
}

function dynamicPlaces(end: number): Place[] {
  return [
    ...fieldPlaces(FOOTER.fields, 0, 'copy'),
    ...fieldPlaces(DYNAMIC_HEADER.fields, HEADER_AT, 'header'),
    ...entryPlaces('table', TABLE_AT, 8, 4),
    ...fieldPlaces({ cookie: FOOTER.fields.cookie }, end, 'footer'),
  ];
}

function locatorPlaces(): Place[] {
  const at = HEADER_AT + DYNAMIC_HEADER.fields.parentLocators.at;
  return [...fieldPlaces(PARENT_LOCATOR.fields, at, 'locator 0'), ...fieldPlaces(PARENT_LOCATOR.fields, at + 24, 'locator 1')];
}

/** Without this nearly every change would end at a checksum. */
function mend(bytes: Uint8Array): void {
  if (bytes.byteLength < 2048) return;
  if (bytes[0] !== 0x63) {
    checksumFooter(bytes, bytes.byteLength - 512);
    return;
  }
  checksumFooter(bytes, 0);
  checksumHeader(bytes, HEADER_AT);
  if (bytes[bytes.byteLength - 512] === 0x63) bytes.copyWithin(bytes.byteLength - 512, 0, 512);
}

function outcome(bytes: Uint8Array): Promise<string> {
  return kindOf(async () => {
    const device = withReadBudget(memoryDevice(bytes), 8 * bytes.byteLength + 65_536);
    const image = await openVhd(device);
    const { commitment, allocation, components, maxLength } = vhdFigures(image, factsOf(bytes.byteLength));
    if (commitment === null || allocation === null || maxLength === null || !(commitment >= allocation))
      throw new Error('a figure is wrong');
    if (components.reduce((sum, component) => sum + component.bytes, 0) !== commitment)
      throw new Error('the components do not sum to the commitment');
    for await (const run of vhdAmbiguousRuns(device, image)) if (run.end <= run.start) throw new Error('an empty run');
    const end = Math.min(image.capacity, 2 ** 20);
    let at = 0;
    for await (const extent of image.device.extents(0, end)) {
      if (extent.start !== at || extent.end <= at) throw new Error('a gap or an empty extent');
      at = extent.end;
    }
    if (at !== end) throw new Error('extents end early');
    if ((await readUpTo(image.device, 0, end)).byteLength !== end) throw new Error('a short read');
    return 'report';
  });
}

describe('mutated VHD images', () => {
  it(`${RUNS} of them, seed ${SEED}: a value or a named error`, { timeout: HANG_MS + RUNS * 10 }, async () => {
    const all = subjects();
    const seen = await countOutcomes({ runs: RUNS, seed: SEED }, (random, run) => {
      const mutated = mutate(all[run % all.length] as Subject, random);
      const { changes } = mutated;
      // Its own: checksums are mended all over it.
      const bytes = mutated.bytes.slice();
      if (run % 5 !== 0) mend(bytes);
      return { changes, outcome: () => outcome(bytes) };
    });
    expect([...seen.keys()].toSorted()).toEqual(['corrupt', 'over-budget', 'report', 'unsupported']);
    expect(seen.get('report')).toBeGreaterThan(RUNS / 10);
  });

  it('the unmodified subjects are valid', async () => {
    for (const { bytes } of subjects()) expect(await outcome(bytes)).toBe('report');
  });
});
