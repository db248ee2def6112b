/** Images with one to three fields changed at random, driven by the tables of layout.ts. */
import type { Fields } from '#base';
import { BITMAP_ENTRY, BITMAPS_EXTENSION, HEADER_V2, HEADER_V3_TAIL, SNAPSHOT_ENTRY } from '../../src/formats/qcow2/layout.ts';
import { aQcow2, bigEndian, COMPRESSED, COPIED, type Qcow2Builder } from '../support/qcow2-builder.ts';

/** Where something can be changed: a field of a structure, or an entry of a table. */
export interface Place {
  readonly name: string;
  readonly at: number;
  readonly width: number;
}

export interface Subject {
  readonly bytes: Uint8Array;
  readonly places: readonly Place[];
}

/** Deterministic: mulberry32. */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Small images that together have every structure. */
export function subjects(): Subject[] {
  return [
    subject(aQcow2({ clusterBits: 9, capacity: 64 * 1024 }), 9),
    subject(aQcow2({ clusterBits: 12, refcountOrder: 0 }), 12),
    subject(aQcow2({ clusterBits: 14, extendedL2: true, refcountOrder: 6 }), 14),
    subject(aQcow2({ clusterBits: 12, version: 2 }), 12),
  ];
}

function subject(image: Qcow2Builder, clusterBits: number): Subject {
  const data = BigInt(image.allocate(4));
  const step = BigInt(image.clusterSize);
  const l2 = image.length;
  image.withL2(0, [
    COPIED + data,
    COPIED + data + step,
    data + 2n * step,
    // Version 2 has no zero clusters.
    image.version === 2 ? 0 : 1,
    COMPRESSED + data + 3n * step + (1n << BigInt(70 - clusterBits)),
    0,
    0,
  ]);
  const snapshotL1 = image.allocate();
  image.withU64(snapshotL1, l2);
  const snapshotTable = image.length;
  image.withSnapshots([{ l1TableOffset: snapshotL1, l1Size: 1 }, { name: 'two' }]);
  const places = [
    ...fieldPlaces(HEADER_V2.fields, 0, 'header'),
    ...entryPlaces('refcount table', image.refcountTable, 3),
    ...entryPlaces('refcounts', image.refcountBlock, 3),
  ];
  places.push(
    ...entryPlaces('L1', image.l1, 2),
    ...entryPlaces('L2', l2, 8),
    ...entryPlaces("snapshot's L1", snapshotL1, 2),
    ...fieldPlaces(SNAPSHOT_ENTRY.fields, snapshotTable, 'snapshot'),
  );
  if (image.version === 3) places.push(...fieldPlaces(HEADER_V3_TAIL.fields, 72, 'version 3'), ...withBitmap(image));
  return { bytes: image.bytes(), places };
}

function withBitmap(image: Qcow2Builder): Place[] {
  const table = image.allocate();
  image.withU64(table, image.allocate());
  const directory = image.length;
  image.withBitmaps([{ tableOffset: table, tableSize: 4 }]).withBackingFile('base.img', 'raw');
  return [
    ...entryPlaces('extensions', 104, 8),
    ...fieldPlaces(BITMAPS_EXTENSION.fields, 112, 'bitmaps'),
    ...fieldPlaces(BITMAP_ENTRY.fields, directory, 'bitmap'),
    ...entryPlaces('bitmap table', table, 3),
  ];
}

/** Every field of a structure at `base`. */
export function fieldPlaces(fields: Fields, base: number, structure: string): Place[] {
  return Object.entries(fields).map(([name, { at, width }]) => ({ name: `${structure}.${name}`, at: base + at, width }));
}

/** The first `count` entries of a table at `base`. */
export function entryPlaces(name: string, base: number, count: number, width = 8): Place[] {
  return Array.from({ length: count }, (_, index) => ({ name: `${name}[${index}]`, at: base + index * width, width }));
}

/** Memory for the mutated copies of a subject, which costs more to make than most images to read. */
const copies = new WeakMap<Subject, { readonly memory: Uint8Array; changed: Place[] }>();

/** A copy of the subject (which the slice of a Buffer is not) that is as the subject again, whatever the last mutation changed. */
function freshCopy(original: Subject): { readonly memory: Uint8Array; changed: Place[] } {
  const copy = copies.get(original) ?? { memory: new Uint8Array(original.bytes), changed: [] };
  copies.set(original, copy);
  for (const { at, width } of copy.changed) copy.memory.set(original.bytes.subarray(at, at + width), at);
  copy.changed = [];
  return copy;
}

/** Throws when code other than `mutate` wrote to a copy of `original`: a reader that writes to what it reads. */
export function requireOnlyMutated(original: Subject): void {
  if (!Buffer.from(freshCopy(original).memory).equals(original.bytes)) throw new Error('a reader wrote to the image');
}

/**
 * The subject with up to three places changed, perhaps cut; and what was done. The bytes are good until the next mutation of
 * the same subject, and no other code may change them: `requireOnlyMutated`.
 */
export function mutate(original: Subject, random: () => number): { bytes: Uint8Array; changes: string[] } {
  const { places } = original;
  const { memory: copy, changed } = freshCopy(original);
  const changes: string[] = [];
  const count = 1 + Math.floor(random() * 3);
  for (let index = 0; index < count; index += 1) {
    const place = places[Math.floor(random() * places.length)] as Place;
    const value = chooseValue(copy, place, random);
    copy.set(bigEndian(value, place.width), place.at);
    changed.push(place);
    changes.push(`${place.name} at ${place.at} = 0x${value.toString(16)}`);
  }
  if (random() < 0.9) return { bytes: copy, changes };
  const end = Math.floor(random() * copy.byteLength);
  return { bytes: copy.subarray(0, end), changes: [...changes, `cut at ${end}`] };
}

/** 0, 1, all ones, one more or less, a bit flipped, another place of the file, anything. */
function chooseValue(bytes: Uint8Array, { at, width }: Place, random: () => number): bigint {
  let value = 0n;
  for (let index = at; index < at + width; index += 1) value = value * 256n + BigInt(bytes[index] ?? 0);
  const bits = BigInt(width * 8);
  const below = (limit: number): bigint => BigInt(Math.floor(random() * limit));
  const choices: (() => bigint)[] = [
    () => 0n,
    () => 1n,
    () => (1n << bits) - 1n,
    () => value + 1n,
    () => value - 1n,
    () => value ^ (1n << below(width * 8)),
    () => (below(bytes.byteLength / 512) * 512n) | (below(2) << (bits - 1n)),
    () => 1n << below(width * 8),
    () => below(2 ** 32) * below(2 ** 32),
  ];
  return BigInt.asUintN(Number(bits), (choices[Number(below(choices.length))] as () => bigint)());
}
