/** VDI images of QEMU: capacity, bytes and extents as QEMU's own tools see them. */
import { readUpTo } from '#block';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openVdi } from '#formats';
import { randomNumbers } from '../hostile/mutations.ts';
import { runTool } from '../support/qemu.ts';
import { capacityByQemu, expectSameBytes, expectSameExtents, randomWrites, withFile, writeByQemu } from './judge-reader.ts';

const directory = mkdtempSync(join(tmpdir(), 'plimsoll-vdi-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const MiB = 1024 * 1024;

async function newVdi(name: string, isStatic: string, capacity: number): Promise<string> {
  const path = join(directory, `${name}.vdi`);
  await runTool('qemu-img', ['create', '-q', '-f', 'vdi', '-o', `static=${isStatic}`, path, String(capacity)]);
  return path;
}

async function expectSameImage(path: string, piece: number): Promise<void> {
  const capacity = await capacityByQemu(path, 'vdi');
  await withFile(path, async (file) => {
    const image = await openVdi(file);
    expect(image.capacity).toBe(capacity);
    await expectSameExtents(image.device, path, 'vdi');
    await expectSameBytes(image.device, path, 'vdi', piece);
  });
}

describe('a VDI by QEMU', () => {
  it.each([
    ['off', 512],
    ['off', 1 * MiB],
    ['off', 3 * MiB + 512 * 777],
    ['off', 33 * MiB - 512],
    ['on', 512],
    ['on', 7 * MiB],
    ['on', 5 * MiB + 1536],
  ])('static=%s of %i bytes: empty, after random writes, full', async (isStatic, size) => {
    const path = await newVdi(`${isStatic}-${size}`, isStatic, size);
    await expectSameImage(path, 300_000);
    await writeByQemu(path, 'vdi', randomWrites(randomNumbers(size), size, 12));
    await expectSameImage(path, 262_144);
    await writeByQemu(path, 'vdi', [`write -q -P 77 0 ${size}`]);
    await expectSameImage(path, 1_000_001);
  });

  it.each(['on', 'off'])('converted from sparse raw, static=%s', async (isStatic) => {
    const raw = join(directory, 'sparse.raw');
    rmSync(raw, { force: true });
    await runTool('qemu-img', ['create', '-q', '-f', 'raw', raw, '40M']);
    await runTool('qemu-io', ['-f', 'raw', ...['0 512', '9M 100k', '39M 1M'].flatMap((place) => ['-c', `write -q -P 9 ${place}`]), raw]);
    const path = join(directory, `converted-${isStatic}.vdi`);
    await runTool('qemu-img', ['convert', '-O', 'vdi', '-o', `static=${isStatic}`, raw, path]);
    await expectSameImage(path, 65_536);
  });

  it('of an odd disk size and with discarded blocks is read as by QEMU', async () => {
    const path = await newVdi('odd', 'off', 5 * MiB);
    await writeByQemu(path, 'vdi', ['write -q -P 5 1M 3M']);
    const bytes = readFileSync(path);
    bytes.writeBigUInt64LE(BigInt(5 * MiB - 1001), 368);
    bytes.writeUInt32LE(0xfffffffe, 512 + 4 * 2);
    writeFileSync(path, bytes);
    await expectSameImage(path, 99_999);
    const image = await withFile(path, (file) => openVdi(file));
    expect(image).toMatchObject({ capacity: 5 * MiB - 512, guestBlocks: 5, allocatedBlocks: 2, parent: undefined });
  });

  it('of 16 TiB, nearly empty', async () => {
    const path = await newVdi('large', 'off', 16 * 1024 * 1024 * MiB);
    await writeByQemu(path, 'vdi', ['write -q -P 3 15T 4k', 'write -q -P 4 1M 5M']);
    await withFile(path, async (file) => {
      const image = await openVdi(file);
      expect(image.capacity).toBe(16 * 1024 * 1024 * MiB);
      expect(await readUpTo(image.device, 15 * 1024 * 1024 * MiB + 4095, 2)).toEqual(Uint8Array.of(3, 0));
      expect(image.allocatedBlocks).toBe(6);
    });
  });
});
