/**
 * Mutated VHDX images end in an image or in an error of a named kind, never in a bug. A fixed seed; for a longer run:
 * PLIMSOLL_FUZZ_RUNS=1000000 PLIMSOLL_FUZZ_SEED=7 npx vitest run --project hostile tests/hostile/vhdx-fuzz.test.ts
 */
import { describe, expect, it } from 'vitest';
import { type Fields, KiB, MiB } from '#base';
import { type FileFacts, readUpTo, withReadBudget } from '#block';
import { openVhdx } from '#formats';
import { vhdxFigures } from '#commitment';
import {
  HEADER,
  HEADER_OFFSETS,
  LOG_DATA_DESCRIPTOR,
  LOG_ENTRY_HEADER,
  METADATA_TABLE_ENTRY,
  METADATA_TABLE_HEADER,
  PARENT_LOCATOR_ENTRY,
  PARENT_LOCATOR_HEADER,
  REGION_TABLE_ENTRY,
  REGION_TABLE_HEADER,
  REGION_TABLE_OFFSETS,
} from '../../src/formats/vhdx/layout.ts';
import { HANG_MS } from '../support/hang.ts';
import { aVhdx, LOG, u64, type VhdxBuilder } from '../support/vhdx-builder.ts';
import { countOutcomes, kindOf } from './fuzzing.ts';
import { type Place } from './mutations.ts';

const RUNS = Number(process.env['PLIMSOLL_FUZZ_RUNS'] ?? 5000);
const SEED = Number(process.env['PLIMSOLL_FUZZ_SEED'] ?? 20261123);
const READ_BUDGET = 64 * MiB;

interface Subject {
  readonly image: VhdxBuilder;
  readonly places: readonly Place[];
}

function withData(image: VhdxBuilder): VhdxBuilder {
  return image
    .withBlock(0, image.blocks)
    .withBlock(2, image.blocks + 4 * MiB)
    .withEntry(1, 2)
    .withBytes(image.blocks, [1, 2, 3]);
}

function withLog(image: VhdxBuilder): VhdxBuilder {
  const sector = new Uint8Array(4096).fill(3);
  const at = image.metadata + 256 * KiB;
  const next = image.addLogEntry(0, {
    sequenceNumber: 9,
    updates: [
      { at, data: sector },
      { at: at + 4096, zeros: 8192 },
    ],
  });
  return image.withLogEntry(next, { sequenceNumber: 10, tail: 0, updates: [{ at: at + 8192, data: sector }] });
}

function fieldPlaces(fields: Fields, base: number, structure: string): Place[] {
  return Object.entries(fields).map(([name, { at, width }]) => ({
    name: `${structure}.${name}`,
    at: base + at,
    width: Math.min(8, width),
  }));
}

function placesOf(image: VhdxBuilder): Place[] {
  const headers = HEADER_OFFSETS.flatMap((at) => fieldPlaces(HEADER.fields, at, 'header'));
  const tables = REGION_TABLE_OFFSETS.flatMap((at) => [
    ...fieldPlaces(REGION_TABLE_HEADER.fields, at, 'region table'),
    ...fieldPlaces(REGION_TABLE_ENTRY.fields, at + 16, 'BAT region'),
    ...fieldPlaces(REGION_TABLE_ENTRY.fields, at + 48, 'metadata region'),
  ]);
  const items = Array.from({ length: 5 }, (_, index) => fieldPlaces(METADATA_TABLE_ENTRY.fields, image.metadata + 32 + index * 32, 'item'));
  const values = ['fileParameters', 'virtualDiskSize', 'logicalSectorSize'].map((name) => ({ name, at: image.item(name).at, width: 4 }));
  const bat = Array.from({ length: 4 }, (_, index) => ({ name: `BAT[${index}]`, at: image.bat + index * 8, width: 8 }));
  return [
    ...headers,
    ...tables,
    ...fieldPlaces(METADATA_TABLE_HEADER.fields, image.metadata, 'metadata table'),
    ...items.flat(),
    ...values,
    ...bat,
  ];
}

function subjects(): Subject[] {
  const plain = (): VhdxBuilder => withData(aVhdx());
  const large = (): VhdxBuilder =>
    withData(aVhdx({ capacity: 11 * MiB + 4096, blockSize: 4 * MiB, logicalSectorSize: 4096, flags: 1 })).withLength(20 * MiB);
  const dirty = (): VhdxBuilder => withLog(withData(aVhdx()));
  const child = (): VhdxBuilder => aVhdx({ flags: 2 }).withParent([['relative_path', 'base.vhdx']]);
  const log = [0, 12 * KiB].flatMap((at) => [
    ...fieldPlaces(LOG_ENTRY_HEADER.fields, LOG + at, 'log entry'),
    ...fieldPlaces(LOG_DATA_DESCRIPTOR.fields, LOG + at + 64, 'descriptor'),
    ...fieldPlaces(LOG_DATA_DESCRIPTOR.fields, LOG + at + 96, 'descriptor'),
  ]);
  const locator = child().item('parentLocator').at;
  const names = [
    ...fieldPlaces(PARENT_LOCATOR_HEADER.fields, locator, 'locator'),
    ...fieldPlaces(PARENT_LOCATOR_ENTRY.fields, locator + 20, 'names'),
  ];
  return [
    { image: plain(), places: placesOf(plain()) },
    { image: large(), places: placesOf(large()) },
    { image: dirty(), places: [...log, ...log, ...placesOf(dirty())] },
    { image: child(), places: [...names, ...placesOf(child())] },
  ];
}

/** Up to three places changed, checksums made anew more often than not; and what was done. */
function mutate({ image: unchanged, places }: Subject, random: () => number): { image: VhdxBuilder; changes: string[] } {
  const image = unchanged.copy();
  const changes: string[] = [];
  const count = 1 + Math.floor(random() * 3);
  for (let index = 0; index < count; index += 1) {
    const { name, at, width } = places[Math.floor(random() * places.length)] as Place;
    const value = chooseValue(image.length, random);
    image.withBytes(at, u64(value).slice(0, width));
    changes.push(`${name} at ${at} = 0x${value.toString(16)}`);
    if (at >= LOG && at < LOG + MiB && random() < 0.8) image.checksumLogEntry(at < LOG + 12 * KiB ? 0 : 12 * KiB);
    const structure = [...HEADER_OFFSETS, ...REGION_TABLE_OFFSETS].find((one) => at >= one && at < one + 64 * KiB);
    if (structure !== undefined && random() < 0.1) image.withoutChecksum(structure);
  }
  if (random() < 0.05) image.withLength(Math.floor(random() * image.length));
  return { image, changes };
}

function chooseValue(length: number, random: () => number): bigint {
  const below = (limit: number): bigint => BigInt(Math.floor(random() * limit));
  const choices: (() => bigint)[] = [
    () => 0n,
    () => 1n,
    () => 2n ** 64n - 1n,
    () => below(16),
    () => 1n << below(64),
    () => below(length / MiB + 3) * BigInt(MiB),
    () => below(length / MiB + 3) * BigInt(MiB) + below(8),
    () => below(length / 4096) * 4096n,
    () => below(2 ** 32) * below(2 ** 32),
  ];
  return (choices[Number(below(choices.length))] as () => bigint)();
}

function factsOf(length: number, hasMap: boolean): FileFacts {
  const range = {
    fileOffset: 0,
    byteLength: Math.ceil(length / 8192) * 4096,
    physicalOffset: 0,
    shared: false,
    unwritten: false,
    encoded: false,
  };
  return {
    identity: '1:1',
    length,
    allocation: range.byteLength,
    filesystem: 'ext4',
    fsBlockSize: 4096,
    map: hasMap ? [range] : undefined,
    extentSizeHint: 0,
    cowExtentSize: 0,
    noCow: undefined,
    openForWriting: undefined,
  };
}

/** What the image comes to: the kind of its error, or `image`. */
function outcome(builder: VhdxBuilder, hasMap: boolean): Promise<string> {
  return kindOf(async () => {
    const image = await openVhdx(withReadBudget(builder.device(), READ_BUDGET));
    const { commitment, allocation, components } = vhdxFigures(image, factsOf(builder.length, hasMap));
    if (commitment === null || allocation === null || !(commitment >= allocation))
      throw new Error(`commitment ${commitment} below allocation`);
    if (components.some(({ bytes }) => bytes < 0)) throw new Error(`a component below 0: ${JSON.stringify(components)}`);
    if (components.reduce((sum, component) => sum + component.bytes, 0) !== commitment)
      throw new Error('the components do not sum to the commitment');
    let at = 0;
    for await (const extent of image.extents(0, Math.min(image.byteLength, 2 ** 36))) {
      if (extent.start !== at || extent.end <= at) throw new Error(`extents do not join at ${at}`);
      at = extent.end;
    }
    const bytes = await readUpTo(image, 0, 3 * MiB);
    if (bytes.byteLength !== Math.min(3 * MiB, image.byteLength)) throw new Error(`read ${bytes.byteLength} bytes`);
    return 'image';
  });
}

describe('mutated VHDX images', () => {
  it(`${RUNS} of them, seed ${SEED}: an image or a named error`, { timeout: HANG_MS + RUNS * 20 }, async () => {
    const all = subjects();
    const seen = await countOutcomes({ runs: RUNS, seed: SEED }, (random, run) => {
      const { image, changes } = mutate(all[run % all.length] as Subject, random);
      return { changes, outcome: () => outcome(image, run % 2 === 0) };
    });
    expect([...seen.keys()]).toEqual(expect.arrayContaining(['image', 'corrupt', 'refused', 'unsupported']));
    expect(seen.get('image')).toBeGreaterThan(RUNS / 20);
  });

  it('the unmodified subjects are valid', async () => {
    const kinds = await Promise.all(subjects().map(({ image }) => outcome(image, true)));
    expect(kinds).toEqual(['image', 'image', 'image', 'refused']);
  });
});
