/** Verdicts on VHD, VDI and VHDX that every reader reads alike and that QEMU must not write to: issue 8, A6, A12, A13, A15. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { aVdi } from '../../../tests/support/vdi-builder.ts';
import { aVhd, type VhdBuilder } from '../../../tests/support/vhd-builder.ts';
import { aVhdx } from '../../../tests/support/vhdx-builder.ts';
import { memoryDevice } from '#block';
import type { VetReport } from '#wire';
import { conclude } from './conclude.ts';
import { judge } from './judge.ts';
import { parsePolicy } from './policy.ts';

const ANY_USE = parsePolicy({ attach: ['raw', 'qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi'] });
const MiB = 2 ** 20;

const codesOf = ({ reasons }: VetReport): string[] =>
  reasons.filter(({ code }) => code !== 'GEOMETRY_SIZE_MISMATCH').map(({ level, code }) => `${level} ${code}`);
const NOBODY = { device: null, inode: null, size: 0, mtimeNs: null, sha256: null, method: 'stamp' as const };
const verdictOf = async (bytes: Uint8Array, declared?: string): Promise<VetReport> =>
  conclude(await judge(memoryDevice(bytes), { policy: ANY_USE, declared }), { path: null, identity: NOBODY, policy: ANY_USE });
/** Hyper-V's creator: QEMU takes the current size; a geometry of 0 stands for none. */
const vhd = (choice: Parameters<typeof aVhd>[0] = {}): VhdBuilder =>
  aVhd({ capacity: 17 * 4 * 512 * 4, ...choice })
    .withFooter('cylinders', 4)
    .withFooter('heads', 4)
    .withFooter('sectorsPerTrack', 17);

describe('vet, dynamic VHD', () => {
  it('lets a sound disk be attached where the policy allows it', async () => {
    const report = await verdictOf(vhd().withBlock(1, 7).withBlock(0, 8).bytes());
    expect([report.verdict, codesOf(report)]).toEqual(['safe', []]);
  });

  it('lets a disk be attached whose table lies behind its blocks: the next block comes behind the table', async () => {
    const image = vhd().withBlock(0, 7);
    const table = new Uint8Array(512).fill(0xff);
    table.set([0, 0, 0, 4]);
    const report = await verdictOf(image.withHeader('tableOffset', image.append(table)).bytes());
    expect([report.verdict, codesOf(report)]).toEqual(['safe', []]);
  });

  const HEADER = vhd().bytes().slice(512, 1536);
  it('refuses a dynamic disk header where QEMU puts the next block', async () => {
    const image = vhd().withBlock(0, 7);
    const report = await verdictOf(image.withFooter('dataOffset', image.append(HEADER)).bytes());
    expect(codesOf(report)).toContain('refuse VHD_NEXT_BLOCK');
  });

  it('refuses a table whose last sector is cut off: QEMU looks for the end of it', async () => {
    const image = vhd();
    expect(
      codesOf(
        await verdictOf(
          image
            .withoutFooterAtEnd()
            .cutAt(2048 - 400)
            .bytes(),
        ),
      ),
    ).toContain('refuse VHD_NEXT_BLOCK');
  });

  it.each([
    ['a gap before the footer', (image: VhdBuilder) => void image.append(new Uint8Array(1024))],
    ['an older footer before the footer', (image: VhdBuilder) => void image.append(image.bytes().slice(0, 512))],
  ])('does not attach a disk with %s, which the guest would read', async (_, add) => {
    const image = vhd().withBlock(0, 7);
    add(image);
    expect(codesOf(await verdictOf(image.bytes()))).toEqual(['convert VHD_BYTES_BEHIND_BLOCKS']);
  });

  it('attaches a disk with a footer of 511 bytes', async () => {
    const image = vhd().withBlock(0, 7);
    expect(codesOf(await verdictOf(image.cutAt(image.dataEnd + 511).bytes()))).toEqual([]);
  });

  it.each([0, 4])('refuses two blocks in one place, %d sectors apart', async (distance) => {
    const image = vhd().withBlock(0, 7);
    const first = new DataView(image.bytes().buffer).getUint32(1536);
    const report = await verdictOf(image.withEntry(1, first + distance).bytes());
    expect(codesOf(report)).toContain('refuse VHD_TABLE_ENTRY');
  });
});

describe('vet, fixed VHD', () => {
  it('converts at most, whatever the policy', async () => {
    const report = await verdictOf(vhd({ diskType: 'fixed' }).bytes(), 'vhd');
    expect([report.verdict, codesOf(report)]).toEqual(['convert', ['convert VHD_FIXED', 'note FOOTER_ONLY']]);
  });

  it.each(['QFI\xfb\0\0\0\x03', 'KDMV', 'vhdxfile', 'LUKS\xba\xbe', 'XFSB'])('stays so when its guest writes %j first', async (magic) => {
    const bytes = vhd({ diskType: 'fixed' }).withBytes(0, Buffer.from(magic, 'latin1')).bytes();
    expect((await verdictOf(bytes, 'vhd')).verdict).toBe('convert');
  });

  it('is refused once its guest wrote the header of a dynamic disk first, which QEMU would open', async () => {
    const dynamic = vhd().bytes();
    const bytes = vhd({ diskType: 'fixed' }).withBytes(0, dynamic.slice(0, 2048)).bytes();
    expect((await verdictOf(bytes, 'vhd')).verdict).toBe('refused');
  });
});

describe('vet, VDI', () => {
  it.each([
    ['too low', 1],
    ['none', 0],
    ['too high', 2000],
    ['one too high', 3],
  ])('refuses a count of allocated blocks that is %s', async (_, count) => {
    const image = aVdi().withBlock(0, 1).withBlock(1, 2).withHeader('blocksAllocated', count);
    expect(codesOf(await verdictOf(image.bytes()))).toEqual(['refuse VDI_BLOCKS_ALLOCATED']);
  });

  it('lets a sound disk be attached, in any order of blocks', async () => {
    const report = await verdictOf(aVdi().withBlock(2, 1).withBlock(0, 2).withEntry(1, 0xfffffffe).bytes());
    expect([report.verdict, codesOf(report)]).toEqual(['safe', []]);
  });

  it.each([
    ['two entries for one block', 'refuse VDI_MAP_ENTRY', aVdi().withBlock(0, 1).withEntry(1, 0)],
    ['bytes before each block', 'refuse VDI_BLOCK_EXTRA', aVdi().withHeader('blockExtra', 512)],
    ['data over the map', 'refuse VDI_DATA_OFFSET', aVdi().withHeader('offsetData', 512)],
    ['a map over the header', 'refuse VDI_BMAP_OFFSET', aVdi().withHeader('offsetBmap', 0)],
    ['a disk larger than its map', 'refuse VDI_DISK_SIZE', aVdi().withHeader('diskSize', 4 * MiB)],
  ])('refuses %s', async (_, code, image) => {
    expect(codesOf(await verdictOf(image.bytes()))).toContain(code);
  });
});

describe('vet, VHDX', () => {
  const image = (): ReturnType<typeof aVhdx> => aVhdx({ capacity: 4 * MiB });

  it('does not attach an image without room for a log', async () => {
    const report = await verdictOf(image().withHeader('logLength', 0).bytes());
    expect(codesOf(report)).toContain('convert VHDX_LOG_MISSING');
  });

  it('prints no command for sectors of 4096 bytes, which QEMU does not open', async () => {
    const report = await verdictOf(aVhdx({ capacity: 4 * MiB, logicalSectorSize: 4096 }).bytes());
    expect([codesOf(report), report.next]).toEqual([['convert QEMU_CANNOT_OPEN'], null]);
  });
});

describe('vet, a difference to another image under a policy with chains', () => {
  const policy = parsePolicy({ attach: ['vhd', 'vhdx', 'vdi'], chains: true });
  it.each([
    ['VHD', vhd({ diskType: 'differencing' }).bytes()],
    ['VDI', aVdi({ imageType: 4 }).bytes()],
    [
      'VHDX',
      aVhdx({ capacity: 4 * MiB, flags: 2 })
        .withParent([['relative_path', 'a.vhdx']])
        .bytes(),
    ],
  ])('is not attached, and no command is printed for it: %s', async (_, bytes) => {
    const report = conclude(await judge(memoryDevice(bytes), { policy }), { path: null, identity: NOBODY, policy });
    expect([report.use === 'attach', report.next, codesOf(report).includes('convert QEMU_CANNOT_OPEN')]).toEqual([false, null, true]);
  });
});

describe('vet, signs that a guest wrote into the last sector of the file', () => {
  const SIGNS = ['koly', 'conectix', 'EFI PART'];
  it.each(SIGNS)('leaves out %s in a VDI', async (sign) => {
    const image = aVdi().withBlock(0, 0);
    const at = image.offsetData + MiB - 512;
    expect((await verdictOf(image.withBytes(at, Buffer.from(sign)).bytes())).verdict).toBe('safe');
  });

  it.each(SIGNS)('leaves out %s in a VHDX', async (sign) => {
    const bytes = image()
      .withBlock(0, 5 * MiB)
      .bytes();
    bytes.set(Buffer.from(sign), bytes.length - 512);
    expect((await verdictOf(bytes)).verdict).toBe('safe');
  });
  const image = (): ReturnType<typeof aVhdx> => aVhdx({ capacity: 4 * MiB });

  it('leaves out a ZFS label in a qcow2 whose clusters a snapshot shares', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'plimsoll-signs-'));
    try {
      const path = join(directory, 'a.qcow2');
      execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, '1M']);
      writeFileSync(join(directory, 'label'), Buffer.from('0cb1ba0000000000'.padEnd(1024, '0'), 'hex'));
      const writes = [0, 65_536].map((at) => `write -q -s ${join(directory, 'label')} ${at} 512`);
      execFileSync('qemu-io', ['-f', 'qcow2', ...writes.flatMap((write) => ['-c', write]), path]);
      execFileSync('qemu-img', ['snapshot', '-c', 'one', path]);
      const report = await verdictOf(readFileSync(path));
      expect(report.signs).toContainEqual({ name: 'zfs', class: 'filesystem', at: 6 * 65_536 });
      expect([report.verdict, report.reasons]).toEqual(['safe', []]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
