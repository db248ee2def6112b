/**
 * Mutated images are read as their guest would read them: bytes and extents, or an error of a named kind, in bounded reads. A
 * fixed seed; for a longer run: PLIMSOLL_FUZZ_RUNS=1000000 npx vitest run --project hostile tests/hostile/qcow2-reader-fuzz.test.ts
 */
import { deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { memoryDevice, type ReadableDevice, readUpTo, withReadBudget } from '#block';
import { openQcow2, readQcow2Header } from '#formats';
import { HANG_MS } from '../support/hang.ts';
import { aQcow2, COMPRESSED, COPIED } from '../support/qcow2-builder.ts';
import { zstdFrame } from '../support/zstd-frames.ts';
import { countOutcomes, kindOf } from './fuzzing.ts';
import { mutate, type Place, requireOnlyMutated, type Subject, subjects } from './mutations.ts';

const RUNS = Number(process.env['PLIMSOLL_FUZZ_RUNS'] ?? 5000);
const SEED = Number(process.env['PLIMSOLL_FUZZ_SEED'] ?? 20261124);
/** All the guest bytes that are read of one image. */
const MAX_BYTES = 2 ** 20;
const PIECE_BYTES = 5000;
const BUDGET = 2 ** 26;

/** Compressed data that can be changed, in both ways, and subclusters. */
function readerSubjects(): Subject[] {
  return [...subjects(), compressedSubject(false), compressedSubject(true), subclusterSubject()];
}

function everyByte(name: string, at: number, count: number): Place[] {
  return Array.from({ length: count }, (_, index) => ({ name: `${name}[${index}]`, at: at + index, width: 1 }));
}

function entries(name: string, at: number, count: number): Place[] {
  return Array.from({ length: count }, (_, index) => ({ name: `${name}[${index}]`, at: at + index * 8, width: 8 }));
}

function compressedSubject(isZstd: boolean): Subject {
  const image = aQcow2({ clusterBits: 12, capacity: 32 * 1024 });
  if (isZstd) image.withField('incompatibleFeatures', 8).withField('headerLength', 112).withBytes(104, Uint8Array.of(1));
  const text = Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * index) % 61));
  const halves = [
    ['rle', 2048, 7],
    ['raw', 2048, 9],
  ] as const;
  const data = isZstd ? zstdFrame(halves, { contentBytes: 4096 }) : deflateRawSync(text);
  const at = image.allocate(2);
  image.withBytes(at, data);
  const sectors = BigInt(Math.ceil(data.byteLength / 512) - 1);
  const entry = COMPRESSED + (sectors << 58n) + BigInt(at);
  const l2 = image.length;
  image.withL2(0, [entry, entry, 0, COPIED + BigInt(at), entry, 1, entry, entry]);
  return { bytes: image.bytes(), places: [...everyByte('data', at, Math.min(64, data.byteLength)), ...entries('L2', l2, 8)] };
}

function subclusterSubject(): Subject {
  const image = aQcow2({ clusterBits: 14, capacity: 128 * 1024, extendedL2: true });
  const data = BigInt(image.allocate(3));
  const l2 = image.length;
  const step = BigInt(image.clusterSize);
  image.withL2(0, [
    COPIED + data,
    0xffff_0000_0000_0fffn,
    COPIED + data + step,
    0xffff_ffffn,
    0,
    0x00ff_0000_0000_0000n,
    data + 2n * step,
    0xffn,
  ]);
  return { bytes: image.bytes(), places: entries('L2', l2, 16) };
}

/** Extents cover the image and continue each other nowhere; data lies where they say. */
async function checkExtents(image: ReadableDevice, file: Uint8Array): Promise<void> {
  let end = 0;
  let last = '';
  let lastFileEnd: number | undefined;
  for await (const extent of image.extents(0, image.byteLength)) {
    const { start, status, compressed, fileOffset } = extent;
    if (start !== end || extent.end <= start) throw new Error(`extent at ${start} behind ${end}`);
    const kind = `${status} ${compressed}`;
    if (kind === last && fileOffset === lastFileEnd) throw new Error(`extent at ${start} continues the one before`);
    last = kind;
    lastFileEnd = fileOffset === undefined ? undefined : fileOffset + extent.end - start;
    ({ end } = extent);
    if (compressed || start >= MAX_BYTES) continue;
    const bytes = await readUpTo(image, start, Math.min(512, end - start));
    const expected = new Uint8Array(bytes.byteLength);
    if (fileOffset !== undefined) expected.set(file.subarray(fileOffset, fileOffset + bytes.byteLength));
    if (!Buffer.from(expected).equals(bytes)) throw new Error(`bytes at ${start} are not those of the extent`);
  }
  if (end !== image.byteLength) throw new Error(`extents end at ${end} of ${image.byteLength}`);
}

/** `read`, or the kind of the error that `work` throws. */
function readingOf(work: () => Promise<void>): Promise<string> {
  return kindOf(async () => {
    await work();
    return 'read';
  });
}

/** What the image comes to: the kind of its first error, or `read`. Behind a piece that cannot be read the next one is. */
async function outcome(bytes: Uint8Array, snapshot: string | undefined): Promise<string> {
  const kinds: string[] = [];
  const whole = await readingOf(async () => {
    const device = withReadBudget(memoryDevice(bytes), BUDGET);
    const header = await readQcow2Header(device);
    const dataFile = memoryDevice(new Uint8Array(65536));
    // A backing file without bytes, so that unallocated bytes are zeros.
    const backing = memoryDevice(new Uint8Array());
    const image = await openQcow2(device, header, { snapshot, dataFile, backing });
    for (let at = 0; at < Math.min(image.byteLength, MAX_BYTES); at += PIECE_BYTES) {
      const read = async (): Promise<void> => {
        const piece = await readUpTo(image, at, PIECE_BYTES);
        if (piece.byteLength !== Math.min(PIECE_BYTES, image.byteLength - at)) throw new Error(`${piece.byteLength} bytes at ${at}`);
      };
      kinds.push(await readingOf(read));
    }
    if (!header.externalDataFile) kinds.push(await readingOf(() => checkExtents(image, bytes)));
  });
  return [whole, ...kinds].find((kind) => kind !== 'read') ?? 'read';
}

describe('mutated images, as their guest reads them', () => {
  it(`${RUNS} of them, seed ${SEED}: bytes or a named error`, { timeout: HANG_MS + RUNS * 10 }, async () => {
    const all = readerSubjects();
    const seen = await countOutcomes({ runs: RUNS, seed: SEED }, (random, run) => {
      const { bytes, changes } = mutate(all[run % all.length] as (typeof all)[number], random);
      const snapshot = run % 3 === 0 && run % all.length < 4 ? 'two' : undefined;
      return { changes, outcome: () => outcome(bytes, snapshot) };
    });
    for (const one of all) requireOnlyMutated(one);
    for (const kind of ['corrupt', 'read', 'unsupported']) expect([...seen.keys()]).toContain(kind);
    expect(seen.get('read')).toBeGreaterThan(RUNS / 8);
    expect(seen.has('over-budget')).toBe(false);
  });

  it('the unmodified subjects are valid', async () => {
    for (const { bytes } of readerSubjects().slice(4)) expect(await outcome(bytes, undefined)).toBe('read');
  });
});
