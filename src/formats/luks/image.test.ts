import { describe, expect, it } from 'vitest';
import { memoryDevice, readUpTo } from '#block';
import { luks1, luks2, segment } from '../../../tests/support/luks-builder.ts';
import { type LuksImage, openLuks } from './image.ts';

const MiB = 1024 * 1024;
const open = (bytes: Uint8Array): Promise<LuksImage> => openLuks(memoryDevice(bytes));

describe('openLuks()', () => {
  it('takes the disk of LUKS1 from the payload offset to the end of the file', async () => {
    const { capacity, header } = await open(luks1());
    expect(capacity).toBe(MiB - 512 * 512);
    expect(header).toMatchObject({ version: 1, payloadOffset: 262_144, cipher: 'aes-xts-plain64' });
    expect((await open(luks1({ length: MiB - 100 }))).capacity).toBe(MiB - 512 * 512);
    expect((await open(luks1({ payloadSector: 2048 }))).capacity).toBe(0);
  });

  it.each([0, 7, 2049, 0xffffffff])('refuses a LUKS1 payload at sector %i, as QEMU does', async (payloadSector) => {
    await expect(open(luks1({ payloadSector }))).rejects.toMatchObject({
      kind: 'corrupt',
      code: 'LUKS_PAYLOAD_OFFSET',
      where: { at: 104 },
    });
  });

  it('takes the disk of LUKS2 from its segments', async () => {
    const one = await open(luks2({ segments: { '0': segment(65_536) } }));
    expect(one).toMatchObject({ capacity: MiB - 65_536, header: { version: 2, payloadOffset: 65_536 } });
    const segments = {
      '0': segment(65_536, { size: '4096' }),
      '1': segment(69_632, { size: '8192' }),
      '2': segment(65_536, { flags: ['backup-final'] }),
    };
    expect((await open(luks2({ segments }))).capacity).toBe(12_288);
  });

  it.each([
    ['no JSON', 'x'],
    ['no segments', {}],
    ['an empty list', { segments: {} }],
    ['an array', { segments: [segment(65_536)] }],
    ['an offset behind the end', { segments: { '0': segment(2 * MiB) } }],
    ['a size behind the end', { segments: { '0': segment(65_536, { size: '1048576' }) } }],
    ['a number', { segments: { '0': segment(0, { offset: 65_536 }) } }],
    ['null', { segments: { '0': null } }],
    ['deep nesting', '['.repeat(12_000)],
    ['a large number', { segments: { '0': segment(0, { size: '9999999999999999' }) } }],
  ])('refuses LUKS2 with %s for its segments', async (_, json) => {
    await expect(open(luks2(json))).rejects.toMatchObject({ kind: 'corrupt', code: 'LUKS_SEGMENTS' });
  });

  it.each([0, 8192, 8 * MiB, 2 * MiB])('refuses LUKS2 with a header of %i bytes', async (headerSize) => {
    await expect(open(luks2({}, { headerSize }))).rejects.toMatchObject({ kind: 'corrupt', code: 'LUKS_HEADER_SIZE' });
  });

  it('refuses another version and another signature by name', async () => {
    await expect(open(luks1({ version: 3 }))).rejects.toMatchObject({ kind: 'unsupported', code: 'LUKS_VERSION' });
    await expect(open(new Uint8Array(4096))).rejects.toMatchObject({ kind: 'corrupt', code: 'LUKS_MAGIC' });
    await expect(open(new Uint8Array(3))).rejects.toMatchObject({ code: 'LUKS_MAGIC' });
    await expect(open(luks1().subarray(0, 7))).rejects.toMatchObject({ code: 'STRUCT_TRUNCATED' });
  });

  it('describes the whole disk as data and gives none of it', async () => {
    const { device, capacity } = await open(luks1());
    const extents = [];
    for await (const extent of device.extents(512, 2 * MiB)) extents.push(extent);
    expect(extents).toMatchObject([{ start: 512, end: capacity, status: 'data' }]);
    await expect(readUpTo(device, 0, 512)).rejects.toMatchObject({ kind: 'unsupported', code: 'LUKS_ENCRYPTED' });
  });
});
