/** Verdicts on VMDK images that every reader reads alike and that QEMU must not write to: issue 8, A1, A2, A4, A8, A11, A15. */
import { deflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { aVmdk, type VmdkBuilder } from '../../../tests/support/vmdk-builder.ts';
import { memoryDevice, type ReadableDevice, withTrace } from '#block';
import type { VetReport } from '#wire';
import { conclude } from './conclude.ts';
import { judge } from './judge.ts';
import { parsePolicy } from './policy.ts';

const ANY_USE = parsePolicy({ attach: ['raw', 'qcow2', 'vmdk'] });
const SECTOR = 512;
const GRAIN = new Uint8Array(4096).fill(0x5a);
const deflated = deflateSync(GRAIN);

const NOBODY = { device: null, inode: null, size: 0, mtimeNs: null, sha256: null, method: 'stamp' as const };
const verdictOn = async (device: ReadableDevice): Promise<VetReport> =>
  conclude(await judge(device, { policy: ANY_USE }), { path: null, identity: NOBODY, policy: ANY_USE });
const verdictOf = (image: VmdkBuilder): Promise<VetReport> => verdictOn(memoryDevice(image.bytes()));
const codesOf = ({ reasons }: VetReport): string[] => reasons.map(({ level, code }) => `${level} ${code}`);

/** Everything packed behind a descriptor of one sector, as mkimg does: directory, table, grains. */
function packed({
  descriptor,
  gdSector = 2,
  tableSector = 3,
}: {
  descriptor?: string;
  gdSector?: number;
  tableSector?: number;
} = {}): VmdkBuilder {
  const image = aVmdk({ capacitySectors: 512 * 8 });
  const text =
    descriptor ?? '# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType="monolithicSparse"\nRW 4096 SPARSE "a"\n';
  const room = new Uint8Array(SECTOR);
  room.set(Buffer.from(text, 'latin1'));
  return image
    .withBytes(SECTOR, new Uint8Array(image.length - SECTOR))
    .withBytes(SECTOR, room)
    .withField('flags', 1)
    .withField('rgdOffset', 0)
    .withField('descriptorSize', 1)
    .withField('gdOffset', gdSector)
    .withU32(gdSector * SECTOR, tableSector);
}

describe('vet, VMDK that QEMU must not write to', () => {
  it('lets a sound image be attached where the policy allows it', async () => {
    const report = await verdictOf(aVmdk().withGrain(0, GRAIN));
    expect([report.verdict, codesOf(report)]).toEqual(['safe', []]);
  });

  it.each([
    ['all tables are missing', [0, 1]],
    ['the first table is missing', [0]],
    ['the last table is missing', [1]],
  ])('refuses a sparse image in which %s', async (_, missing) => {
    const image = aVmdk();
    for (const index of missing) image.withU32(image.directory + index * 4, 0).withU32(image.redundant + index * 4, 0);
    const report = await verdictOf(image);
    expect(codesOf(report)).toContain('refuse VMDK_TABLES_MISSING');
  });

  it('converts a stream at most, whatever the policy', async () => {
    const stream = aVmdk({ kind: 'stream' }).withGrain(0, GRAIN);
    expect((await verdictOf(stream)).verdict).toBe('convert');
    for (const index of [0, 1]) stream.withU32(stream.directory + index * 4, 0).withU32(stream.redundant + index * 4, 0);
    const report = await verdictOf(stream);
    expect([report.verdict, codesOf(report)]).toEqual(['convert', ['convert VMDK_STREAM']]);
  });

  it.each([
    ['the directory', packed({ gdSector: 20, tableSector: 24 }), 'grain directory'],
    ['a table', packed({ gdSector: 24, tableSector: 17 }), 'grain table'],
    [
      'a grain',
      packed({ gdSector: 24, tableSector: 28 })
        .withU32(28 * SECTOR, 10)
        .withLength(64 * SECTOR),
      'grain',
    ],
    [
      'the end of the file',
      packed()
        .withLength(19 * SECTOR)
        .withField('overHead', 8),
      'grain directory',
    ],
  ])('does not attach an image with %s in the sectors that QEMU rewrites', async (_, image, found) => {
    const report = await verdictOf(image);
    expect(codesOf(report)).toContain('convert VMDK_DESCRIPTOR_ROOM');
    expect(report.reasons.find(({ code }) => code === 'VMDK_DESCRIPTOR_ROOM')?.message).toContain(found);
  });

  const lines = [
    '# Disk DescriptorFile',
    'version=1',
    'CID=1234567',
    'parentCID=ffffffff',
    'createType="monolithicSparse"',
    'RW 4096 SPARSE "a"',
  ];
  const filled = (length: number): string => {
    const text = `${lines.join('\n')}\n#`;
    return `${text}${'x'.repeat(length - text.length - 1)}\n`;
  };
  it.each([
    ['has no room for a longer content ID', filled(511)],
    ['has other line ends', `${lines.join('\r\n')}\r\n`],
    ['has a key between the content IDs', lines.join('\n').replace('parentCID', 'encoding="UTF-8"\nparentCID')],
  ])('does not attach an image whose descriptor %s', async (_, descriptor) => {
    const report = await verdictOf(packed({ descriptor, gdSector: 24, tableSector: 28 }).withLength(64 * SECTOR));
    expect(codesOf(report)).toEqual(['convert VMDK_DESCRIPTOR_REWRITE']);
  });

  it('attaches a descriptor that has just enough room', async () => {
    const report = await verdictOf(packed({ descriptor: filled(510), gdSector: 24, tableSector: 28 }).withLength(64 * SECTOR));
    expect(report.verdict).toBe('safe');
  });

  it.each([
    ['in one place', 0],
    ['half over one another', 4],
  ])('refuses two grains %s', async (_, distance) => {
    const image = aVmdk().withGrain(0, GRAIN);
    const first = new DataView(image.bytes().buffer).getUint32(image.entryAt(0), true);
    const report = await verdictOf(image.withEntry(3, first + distance).withLength(image.length + 4096));
    expect(codesOf(report)).toContain('refuse VMDK_GRAIN_TWICE');
  });

  it('refuses two entries of a stream that name one compressed grain', async () => {
    const image = aVmdk({ kind: 'stream' }).withGrain(0, GRAIN);
    const first = new DataView(image.bytes().buffer).getUint32(image.entryAt(0), true);
    expect(codesOf(await verdictOf(image.withEntry(3, first)))).toContain('refuse VMDK_GRAIN_TWICE');
  });

  it.each([
    ['the marker of another grain', (image: VmdkBuilder, at: number) => image.withMarked(at, 8, deflated), 'VMDK_MARKER'],
    ['a size past the file', (image: VmdkBuilder, at: number) => image.withMarked(at, 0, deflated, 60_000), 'VMDK_MARKER'],
    [
      'data over a grain that follows',
      (image: VmdkBuilder, at: number) => image.withMarked(at, 0, deflated, 600).withGrain(1, GRAIN),
      'VMDK_GRAIN',
    ],
  ])('refuses a stream whose grain has %s', async (_, change, code) => {
    const stream = aVmdk({ kind: 'stream' });
    const at = stream.length;
    const report = await verdictOf(change(stream.withGrain(0, GRAIN), at));
    expect(codesOf(report)).toContain(`refuse ${code}`);
  });

  it('takes a redundant directory at the place of the directory', async () => {
    const image = aVmdk().withGrain(0, GRAIN);
    image.withField('rgdOffset', image.directory / SECTOR);
    expect((await verdictOf(image)).verdict).toBe('safe');
  });

  it('takes a redundant directory that names the same tables', async () => {
    const image = aVmdk().withGrain(0, GRAIN);
    for (const [index, table] of image.tables.entries()) image.withU32(image.redundant + index * 4, table / SECTOR);
    expect((await verdictOf(image)).verdict).toBe('safe');
  });
});

describe('vet, signs in a VMDK', () => {
  it.each(['koly', 'conectix', 'EFI PART'])('leaves out %s in a last sector that is a grain of the guest', async (sign) => {
    const grain = GRAIN.slice();
    grain.set(Buffer.from(sign), grain.length - SECTOR);
    expect((await verdictOf(aVmdk().withGrain(0, grain))).verdict).toBe('safe');
  });

  it('leaves out a sign in the compressed data of a stream, and none behind it', async () => {
    // Stored, not deflated: the guest's bytes stand in the file as they are.
    const stream = aVmdk({ kind: 'stream' });
    const at = stream.length;
    const data = Buffer.alloc(1011);
    data.write('koly', SECTOR - 12, 'latin1');
    stream
      .withMarked(at, 0, data)
      .withLength(at + 2 * SECTOR)
      .withEntry(0, at / SECTOR);
    expect((await verdictOf(stream)).verdict).toBe('convert');
    stream.withMarked(at, 0, data.subarray(0, 100), 100).withBytes(at + SECTOR, Buffer.from('koly'));
    expect(codesOf(await verdictOf(stream))).toContain('ambiguous POLYGLOT');
  });

  it('reads the tables as often for six signs as for one', async () => {
    const readsWith = async (signs: readonly (readonly [number, string])[]): Promise<number> => {
      const image = aVmdk({ capacitySectors: 512 * 8 * 64 });
      // Behind one sector of descriptor 19 are free.
      image.withBytes(SECTOR, image.bytes().slice(SECTOR, 2 * SECTOR)).withField('descriptorSize', 1);
      for (const [at, sign] of signs) image.withBytes(at, Buffer.from(sign, 'latin1'));
      for (let index = 0; index < 512 * 64; index += 512) image.withGrain(index, GRAIN);
      let reads = 0;
      const report = await verdictOn(withTrace(memoryDevice(image.bytes()), () => (reads += 1)));
      expect(report.signs.filter(({ name }) => name !== 'vmdk')).toHaveLength(signs.length);
      return reads;
    };
    const SIGNS = [
      [1024, 'LABELONE'],
      [1536, 'LABELONE'],
      [4086, 'SWAPSPACE2'],
      [4096, 'EFI PART'],
      [8182, 'SWAPSPACE2'],
      [8244, 'ReIsEr2Fs'],
    ] as const;
    const one = await readsWith(SIGNS.slice(0, 1));
    expect(await readsWith(SIGNS)).toBe(one);
    expect(one).toBeGreaterThan(await readsWith([]));
  });
});
