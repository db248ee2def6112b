/** Images made to hurt, read as their guest would: an answer or a named error, in bounded memory and work. */
import { describe, expect, it } from 'vitest';
import { memoryDevice, type ReadableDevice, readUpTo, withTrace } from '#block';
import { openQcow2, readQcow2Header } from '#formats';
import { READER_VECTORS, type ReaderVector } from './qcow2-reader-vectors.ts';

/** Bytes read for one byte of the file or the guest. */
const MAX_TIMES_READ = 8;
/** The largest capacity of these images that is read to its end. */
const MAX_GUEST_BYTES = 2 ** 30;

async function opened({ image, snapshot, dataFile = false }: ReaderVector, counted: { bytes: number }): Promise<ReadableDevice> {
  const memory = memoryDevice(image.bytes());
  const device = withTrace(memory, ({ length }) => {
    counted.bytes += length;
  });
  const header = await readQcow2Header(device);
  return openQcow2(device, header, { snapshot, dataFile: dataFile ? memoryDevice(new Uint8Array(header.capacity)) : undefined });
}

/** All bytes, in pieces, as long as they are all the same: which. */
async function onlyByte(image: ReadableDevice): Promise<number | undefined> {
  let byte: number | undefined;
  for (let at = 0; at < image.byteLength; at += 2 ** 20) {
    const piece = await readUpTo(image, at, 2 ** 20);
    byte ??= piece[0];
    if (!piece.every((one) => one === byte)) throw new Error(`other bytes than ${byte} in the piece at ${at}`);
  }
  return byte;
}

async function drain(image: ReadableDevice): Promise<void> {
  let end = 0;
  for await (const extent of image.extents(0, image.byteLength)) {
    expect(extent.start).toBe(end);
    ({ end } = extent);
  }
  expect(end).toBe(image.byteLength);
}

describe("a hostile qcow2 image's guest bytes", () => {
  it.each(READER_VECTORS)('$name', async (vector) => {
    const { name, code, at, byte, failing, image } = vector;
    const [kind] = name.split('--');
    const counted = { bytes: 0 };
    if (kind === 'read') {
      const device = await opened(vector, counted);
      expect(await onlyByte(device)).toBe(byte);
      await drain(device);
      expect(counted.bytes).toBeLessThan(MAX_TIMES_READ * (image.length + device.byteLength));
    } else {
      const expected = { kind, code, ...(at === undefined ? {} : { where: expect.objectContaining({ at }) }) };
      if (failing === 'open') await expect(opened(vector, counted)).rejects.toMatchObject(expected);
      else {
        const device = await opened(vector, counted);
        await expect(failing === 'extents' ? drain(device) : onlyByte(device)).rejects.toMatchObject(expected);
      }
    }
    expect(counted.bytes).toBeLessThan(MAX_TIMES_READ * (image.length + MAX_GUEST_BYTES));
  });

  it('has vectors with distinct names', () => {
    const names = READER_VECTORS.map((vector) => vector.name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^(corrupt|unsupported|refused|not-found|read)--[a-z0-9-]+$/);
  });
});
