/** Which of a VHD's two sizes QEMU takes, by creator and geometry: plimsoll says the same, and names both. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { figures } from '#sandbox';
import { aVhd, text } from '../support/vhd-builder.ts';

const MiB = 2 ** 20;
const CREATORS = ['wa\0\0', 'xo\0\0', 'win ', '*img', 'vbox', 'd2v ', 'qem2', 'qemu', 'tap\0', 'CTXS'];
const GEOMETRIES = [
  [0, 16, 255],
  [10, 4, 17],
  [65_535, 16, 255],
] as const;

const directory = mkdtempSync(join(tmpdir(), 'plimsoll-vhd-sizes-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('the size of a VHD whose footer gives two', () => {
  it.each(CREATORS)('is the size that QEMU uses, for the creator %j', async (creator) => {
    for (const [cylinders, heads, sectors] of GEOMETRIES) {
      const path = join(directory, 'a.vhd');
      const image = aVhd({ capacity: 8 * MiB, blockSize: 2 * MiB }).withFooter('creatorApplication', text(creator));
      image.withFooter('cylinders', cylinders).withFooter('heads', heads).withFooter('sectorsPerTrack', sectors);
      writeFileSync(path, image.bytes());
      const seen = JSON.parse(execFileSync('qemu-img', ['info', '-f', 'vpc', '--output=json', path], { encoding: 'utf8' })) as object;
      const report = await figures(path, { format: 'vhd' });
      expect({ 'virtual-size': report.capacity }).toEqual({ 'virtual-size': (seen as { 'virtual-size': number })['virtual-size'] });
      const finding = report.findings.find(({ code }) => code === 'VHD_GEOMETRY_SIZE_MISMATCH');
      const isNoSize = cylinders === 65_535;
      expect(finding === undefined).toBe(isNoSize);
      if (!isNoSize)
        expect(finding?.message).toMatch(new RegExp(`${8 * MiB} bytes and a geometry of ${cylinders * heads * sectors * 512}`));
    }
  });
});
