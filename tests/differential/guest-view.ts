/** What QEMU says of an image's guest bytes, and the comparison with what an ReadableDevice gives. */
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Extent, type ReadableDevice, readUpTo } from '#block';
import { ExtentJoiner } from '../../src/formats/join-extents.ts';
import { qemuImg } from '../support/qemu.ts';
import { Prng } from './prng.ts';

interface MapEntry {
  readonly start: number;
  readonly length: number;
  readonly depth: number;
  readonly present: boolean;
  readonly zero: boolean;
  readonly data: boolean;
  readonly offset?: number;
}

/**
 * `qemu-img map` in the words of the contract. QEMU 7.2 tells offsets of zero clusters too, and nothing of compression but
 * that compressed data has no offset.
 */
export async function mapByQemu(path: string, format: string): Promise<Extent[]> {
  const entries = JSON.parse(await qemuImg(dirname(path), 'map', '-f', format, '--output=json', path)) as MapEntry[];
  // For an image without bytes QEMU reports one entry without bytes.
  const filled = entries.filter(({ length }) => length > 0);
  return joined(
    filled.map(({ start, length, depth, present, data, offset }) => ({
      start,
      end: start + length,
      status: data ? 'data' : present ? 'zero' : 'unallocated',
      depth,
      compressed: data && offset === undefined,
      fileOffset: data ? offset : undefined,
    })),
  );
}

function joined(extents: readonly Extent[]): Extent[] {
  const joiner = new ExtentJoiner();
  const whole = extents.map((extent) => joiner.add(extent));
  return [...whole, joiner.finish()].filter((extent) => extent !== undefined);
}

export async function extentsOf(image: ReadableDevice, start = 0, end = image.byteLength): Promise<Extent[]> {
  const extents: Extent[] = [];
  for await (const extent of image.extents(start, end - start)) extents.push(extent);
  return extents;
}

/** What `qemu-img convert` makes of the image, as a raw file beside it. Returns its path. */
export async function convertByQemu(path: string, format: string, snapshot?: string): Promise<string> {
  const raw = join(dirname(path), 'by-qemu.raw');
  const chosen = snapshot === undefined ? [] : ['-l', snapshot];
  await qemuImg(dirname(path), 'convert', '-f', format, ...chosen, '-O', 'raw', path, raw);
  return raw;
}

/**
 * The first byte in which `image` differs from the file at `rawPath`, the lengths included; undefined when there is none. Read
 * once from beginning to end in pieces of `pieceBytes`, then in 100 places of any length, half of them into memory that is lent.
 */
export async function firstDifference(
  image: ReadableDevice,
  rawPath: string,
  pieceBytes: number,
  seed: number,
): Promise<string | undefined> {
  const file = await open(rawPath);
  try {
    const { size } = await file.stat();
    if (size !== image.byteLength) return `${image.byteLength} bytes, QEMU gives ${size}`;
    const expected = Buffer.alloc(size);
    for (let at = 0; at < size; ) at += (await file.read(expected, at, size - at, at)).bytesRead;
    for (let at = 0; at < size; at += pieceBytes) {
      const difference = compare(await readUpTo(image, at, pieceBytes), expected, at, pieceBytes);
      if (difference !== undefined) return `in turn: ${difference}`;
    }
    const random = new Prng(seed);
    for (let count = 0; count < 100; count += 1) {
      const [at, length] = [random.below(size + 1), random.below(random.pick([600, 70_000, 3_000_000]))];
      const lent = new Uint8Array(length + random.below(9)).fill(0xee);
      const filled = await image.read(lent.subarray(0, length), at);
      if (lent.subarray(filled).some((byte) => byte !== 0xee)) return `at random: bytes written behind the ${filled} from ${at} on`;
      const difference = compare(lent.subarray(0, filled), expected, at, length);
      if (difference !== undefined) return `at random: ${difference}`;
    }
    return undefined;
  } finally {
    await file.close();
  }
}

function compare(bytes: Uint8Array, expected: Buffer, at: number, length: number): string | undefined {
  const wanted = expected.subarray(at, at + length);
  if (wanted.equals(bytes)) return undefined;
  if (bytes.byteLength !== wanted.byteLength) return `${bytes.byteLength} bytes at ${at}, expected ${wanted.byteLength}`;
  const index = wanted.findIndex((byte, position) => byte !== bytes[position]);
  return `byte ${at + index} is ${bytes[index]}, expected ${wanted[index]} (read of ${length} at ${at})`;
}
