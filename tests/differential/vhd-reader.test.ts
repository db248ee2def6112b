/** VHD images of QEMU: capacity, bytes and extents as QEMU's own tools see them. */
import { readUpTo } from '#block';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openVhd, vhdAmbiguousRuns } from '#formats';
import { randomNumbers } from '../hostile/mutations.ts';
import { checksumFooter } from '../support/vhd-builder.ts';
import { runTool } from '../support/qemu.ts';
import { capacityByQemu, expectSameBytes, expectSameExtents, randomWrites, withFile, writeByQemu } from './judge-reader.ts';

const directory = mkdtempSync(join(tmpdir(), 'plimsoll-vhd-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const MiB = 1024 * 1024;

async function newVhd(name: string, options: string, capacity: number): Promise<string> {
  const path = join(directory, `${name}.vhd`);
  await runTool('qemu-img', ['create', '-q', '-f', 'vpc', '-o', options, path, String(capacity)]);
  return path;
}

async function expectSameImage(path: string, piece: number): Promise<void> {
  const capacity = await capacityByQemu(path, 'vpc');
  await withFile(path, async (file) => {
    const image = await openVhd(file);
    expect(image.capacity).toBe(capacity);
    expect(image.device.byteLength).toBe(capacity);
    expect(image.hasFooterAtEnd).toBe(true);
    await expectSameExtents(image.device, path, 'vpc');
    await expectSameBytes(image.device, path, 'vpc', piece);
    for await (const run of vhdAmbiguousRuns(file, image)) expect(run).toBeUndefined();
  });
}

describe('a VHD by QEMU', () => {
  it.each([
    ['subformat=dynamic', 3 * MiB],
    ['subformat=dynamic', 3 * MiB + 512 * 777],
    ['subformat=dynamic,force_size=on', 512],
    ['subformat=dynamic,force_size=on', 2 * MiB],
    ['subformat=dynamic,force_size=on', 7 * MiB + 512],
    ['subformat=dynamic,force_size=on', 65 * MiB - 512],
    ['subformat=fixed', 3 * MiB],
    ['subformat=fixed,force_size=on', 512],
    ['subformat=fixed,force_size=on', 5 * MiB + 1536],
  ])('%s of %i bytes: empty, after random writes, full', async (options, size) => {
    const path = await newVhd(`${options}-${size}`, options, size);
    await expectSameImage(path, 300_000);
    const capacity = await capacityByQemu(path, 'vpc');
    const random = randomNumbers(size);
    await writeByQemu(path, 'vpc', randomWrites(random, capacity, 12));
    await expectSameImage(path, 262_144);
    await writeByQemu(path, 'vpc', [`write -q -P 77 0 ${capacity}`]);
    await expectSameImage(path, 1_000_001);
  });

  it.each([
    ['dynamic', 'on'],
    ['dynamic', 'off'],
    ['fixed', 'on'],
  ])('converted from sparse raw, subformat=%s force_size=%s', async (subformat, forceSize) => {
    const raw = join(directory, 'sparse.raw');
    rmSync(raw, { force: true });
    await runTool('qemu-img', ['create', '-q', '-f', 'raw', raw, '40M']);
    await runTool('qemu-io', ['-f', 'raw', ...['0 512', '9M 100k', '39M 1M'].flatMap((place) => ['-c', `write -q -P 9 ${place}`]), raw]);
    const path = join(directory, `converted-${subformat}-${forceSize}.vhd`);
    await runTool('qemu-img', ['convert', '-O', 'vpc', '-o', `subformat=${subformat},force_size=${forceSize}`, raw, path]);
    await expectSameImage(path, 65_536);
  });

  it('of 2040 GiB, nearly empty', async () => {
    const path = await newVhd('large', 'force_size=on', 2040 * 1024 * MiB - 512);
    await writeByQemu(path, 'vpc', ['write -q -P 3 2000G 4k', 'write -q -P 4 1M 5M']);
    await withFile(path, async (file) => {
      const image = await openVhd(file);
      expect(image.capacity).toBe(await capacityByQemu(path, 'vpc'));
      await expectSameExtents(image.device, path, 'vpc');
      expect(await readUpTo(image.device, 2000 * 1024 * MiB + 4095, 2)).toEqual(Uint8Array.of(3, 0));
    });
  });

  it('with a patched creator has the capacity that QEMU gives it', async () => {
    const source = await newVhd('creators', 'subformat=dynamic', 10 * MiB);
    for (const creator of ['vpc ', 'qemu', 'qem2', 'win ', 'd2v ', 'tap\0', 'tapx', 'CTXS', 'wa\0\0', 'vbox', '\0\0\0\0']) {
      for (const geometry of [undefined, 0xffff10ff, 0x01000404, 0]) {
        for (const size of [5_000_000, 9 * MiB, 1000]) {
          const path = join(directory, 'patched.vhd');
          copyFileSync(source, path);
          const bytes = readFileSync(path);
          bytes.write(creator, 28, 'latin1');
          bytes.writeBigUInt64BE(BigInt(size), 48);
          if (geometry !== undefined) bytes.writeUInt32BE(geometry, 56);
          checksumFooter(bytes, 0);
          bytes.copy(bytes, bytes.length - 512, 0, 512);
          writeFileSync(path, bytes);
          const image = await withFile(path, (file) => openVhd(file));
          expect({ creator, geometry, size, capacity: image.capacity }).toEqual({
            creator,
            geometry,
            size,
            capacity: await capacityByQemu(path, 'vpc'),
          });
        }
      }
    }
  });

  it.each([511, 510, 100, 80, 0, 512])(
    'with %i bytes of a footer at the end of its fixed disk is read, or not, as by QEMU',
    async (footerBytes) => {
      const path = await newVhd('short', 'subformat=fixed,force_size=on', MiB);
      await writeByQemu(path, 'vpc', ['write -q -P 5 0 1M']);
      writeFileSync(path, readFileSync(path).subarray(0, MiB + footerBytes));
      const byQemu = await capacityByQemu(path, 'vpc').catch(() => 'not read');
      const byUs = await withFile(path, async (file) => (await openVhd(file)).capacity).catch(() => 'not read');
      expect(byUs).toBe(byQemu);
      expect(byQemu).toBe(footerBytes >= 100 ? MiB : 'not read');
    },
  );

  it('without its footer at the end is still read, as by QEMU', async () => {
    const path = await newVhd('cut', 'force_size=on', 3 * MiB);
    await writeByQemu(path, 'vpc', ['write -q -P 5 1M 2M']);
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.subarray(0, bytes.length - 512));
    await withFile(path, async (file) => {
      const image = await openVhd(file);
      expect(image.hasFooterAtEnd).toBe(false);
      await expectSameBytes(image.device, path, 'vpc', 100_000);
    });
  });
});
