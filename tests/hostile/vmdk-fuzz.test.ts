/**
 * Mutated VMDK images end in a value or in an error of a named kind, never in a bug, and within a bounded number of reads. A
 * fixed seed; for a longer run by hand: PLIMSOLL_FUZZ_RUNS=1000000 PLIMSOLL_FUZZ_SEED=7 npx vitest run --project hostile
 * tests/hostile/vmdk-fuzz.test.ts
 */
import { describe, expect, it } from 'vitest';
import { type FileFacts, memoryDevice, readUpTo, withReadBudget } from '#block';
import { openVmdk } from '#formats';
import { vmdkFigures } from '#commitment';
import { HANG_MS } from '../support/hang.ts';
import { SPARSE_HEADER } from '../../src/formats/vmdk/layout.ts';
import { aVmdk, littleEndian } from '../support/vmdk-builder.ts';
import { countOutcomes, kindOf } from './fuzzing.ts';
import { type Place } from './mutations.ts';

const RUNS = Number(process.env['PLIMSOLL_FUZZ_RUNS'] ?? 5000);
const SEED = Number(process.env['PLIMSOLL_FUZZ_SEED'] ?? 20261123);
/** Of a disk that a mutation made huge only the beginning and the end are read. */
const MAX_READ = 2 ** 18;

interface Subject {
  readonly bytes: Uint8Array;
  readonly places: readonly Place[];
  /** The text of the descriptor, in which single bytes are changed. */
  readonly text: { readonly start: number; readonly end: number };
}

/** `hasTwin`: with redundant tables, which find most of what is changed. */
function subject(kind: 'sparse' | 'stream', hasTwin: boolean, hasFooter = false): Subject {
  const flags = (kind === 'stream' ? 0x30005 : 5) + (hasTwin ? 2 : 0);
  const image = aVmdk({ kind, capacitySectors: 4096 + 43 }).withField('flags', flags);
  const firstMarker = image.length;
  for (const index of [0, 1, 511, 512, 517]) image.withGrain(index, new Uint8Array(4096).fill(index));
  image.withEntry(3, 1);
  const footerAt = image.length;
  if (hasFooter) image.withFooter();
  const fields = Object.entries(SPARSE_HEADER.fields).filter(([name]) => name !== 'pad');
  const header = (base: number, name: string): Place[] =>
    fields.map(([fieldName, { at, width }]) => ({ name: `${name}.${fieldName}`, at: base + at, width }));
  const words = (name: string, base: number, count: number): Place[] =>
    Array.from({ length: count }, (_, index) => ({ name: `${name}[${index}]`, at: base + index * 4, width: 4 }));
  const places = [
    ...header(0, 'header'),
    ...(hasFooter
      ? [...header(footerAt + 512, 'footer'), ...words('footer marker', footerAt, 4), ...words('end', footerAt + 1024, 4)]
      : []),
    ...words('directory', image.directory, 2),
    ...words('redundant directory', image.redundant, 2),
    ...words('table', image.entryAt(0), 4),
    ...words('second table', image.entryAt(512), 7),
    ...words('redundant table', image.entryAt(0, image.redundantTables), 4),
    ...(kind === 'stream' ? words('marker', firstMarker, 8) : []),
  ];
  const bytes = image.bytes();
  return { bytes, places, text: { start: 512, end: bytes.indexOf(0, 512) + 4 } };
}

/** Up to three changes; every third image also has a byte of its descriptor changed. */
function mutate({ bytes, places, text }: Subject, random: () => number): { bytes: Uint8Array; changes: string[] } {
  const copy = bytes.slice();
  const changes: string[] = [];
  const below = (limit: number): number => Math.floor(random() * limit);
  const count = 1 + below(3);
  for (let index = 0; index < count; index += 1) {
    if (random() < 0.1) {
      const at = text.start + below(text.end - text.start);
      copy[at] = random() < 0.5 ? 32 + below(95) : below(256);
      changes.push(`descriptor byte ${at} = ${copy[at]}`);
      continue;
    }
    const place = places[below(places.length)] as Place;
    let value = 0n;
    for (let byte = place.width - 1; byte >= 0; byte -= 1) value = value * 256n + BigInt(copy[place.at + byte] ?? 0);
    const choices = [
      0n,
      1n,
      -1n,
      value + 1n,
      value - 1n,
      value ^ (1n << BigInt(below(place.width * 8))),
      BigInt(below(bytes.byteLength / 512)),
    ];
    const chosen = choices[below(choices.length)] as bigint;
    copy.set(littleEndian(chosen, place.width), place.at);
    changes.push(`${place.name} at ${place.at} = ${chosen}`);
  }
  if (random() < 0.95) return { bytes: copy, changes };
  const end = below(copy.byteLength);
  return { bytes: copy.subarray(0, end), changes: [...changes, `cut at ${end}`] };
}

function factsOf({ byteLength }: Uint8Array): FileFacts {
  const allocation = Math.ceil(byteLength / 4096) * 4096;
  return {
    ...{ identity: '1:1', length: byteLength, allocation, filesystem: 'tmpfs', fsBlockSize: 4096, map: undefined },
    ...{ extentSizeHint: 0, cowExtentSize: 0, noCow: undefined, openForWriting: undefined },
  };
}

function outcome(bytes: Uint8Array): Promise<string> {
  return kindOf(async () => {
    const image = await openVmdk(withReadBudget(memoryDevice(bytes), 2 ** 24));
    const { device } = image;
    let at = 0;
    for await (const { start, end } of device.extents(0, device.byteLength)) {
      if (start !== at || end <= start) throw new Error(`extent ${start} to ${end} behind ${at}`);
      at = end;
    }
    if (at !== device.byteLength) throw new Error(`extents end at ${at}`);
    await readUpTo(device, 0, MAX_READ);
    await readUpTo(device, Math.max(0, device.byteLength - MAX_READ), MAX_READ);
    const { commitment, allocation, components } = vmdkFigures(await image.census(), factsOf(bytes));
    if (commitment === null || allocation === null || !(commitment >= allocation)) throw new Error(`commitment ${commitment}`);
    if (components.reduce((sum, component) => sum + component.bytes, 0) !== commitment)
      throw new Error('the components do not sum to the commitment');
    return 'read';
  });
}

describe('mutated VMDK images', () => {
  const subjects = [subject('sparse', true), subject('sparse', false), subject('stream', false), subject('stream', true, true)];

  it(`${RUNS} of them, seed ${SEED}: read, or a named error`, { timeout: HANG_MS + RUNS * 10 }, async () => {
    const seen = await countOutcomes({ runs: RUNS, seed: SEED }, (random, run) => {
      const { bytes, changes } = mutate(subjects[run % subjects.length] as Subject, random);
      return { changes, outcome: () => outcome(bytes) };
    });
    expect([...seen.keys()].toSorted((a, b) => (a < b ? -1 : 1))).toEqual(['corrupt', 'read', 'refused', 'unsupported']);
    expect(seen.get('read')).toBeGreaterThan(RUNS / 20);
  });

  it('the unmodified subjects are valid', async () => {
    for (const { bytes } of subjects) expect(await outcome(bytes)).toBe('read');
  });
});
