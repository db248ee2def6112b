import { describe, expect, it } from 'vitest';
import { bytes, mask64, reserved, struct, u16, u32, u64, u8 } from './struct.ts';

describe('struct()', () => {
  it('refuses a hole', () => {
    expect(() => struct('s', 8, { a: u16(0), b: u32(4) })).toThrow('s.b starts at 4, the field before ends at 2');
  });

  it('refuses an overlap', () => {
    expect(() => struct('s', 8, { a: u32(0), b: u32(2), c: u16(6) })).toThrow('s.b starts at 2');
  });

  it.each([7, 9])('refuses a wrong total of %i', (total) => {
    expect(() => struct('s', total, { a: u64(0) })).toThrow(`s ends at 8, declared ${total}`);
  });

  it('takes its fields in any order', () => {
    expect(struct('s', 3, { b: u8(2), a: u16(0) }).read(viewOf(1, 2, 3))).toEqual({ a: 0x0102, b: 3 });
  });
});

describe('Struct.read()', () => {
  const all = struct('s', 32, { a: u8(0), none: reserved(1, 1), b: u16(2), c: u32(4), d: u64(8), e: mask64(16), f: bytes(24, 8) });
  const content = Uint8Array.from({ length: 40 }, (_, index) => (index < 8 ? 0 : index));

  it('reads every kind, big-endian, where it is told to', () => {
    content.set([0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 16);
    const record = all.read(new DataView(content.buffer), 8);
    expect(record).toEqual({
      a: 8,
      none: undefined,
      b: 0x0a0b,
      c: 0x0c0d0e0f,
      d: Number.MAX_SAFE_INTEGER,
      e: 0x18191a1b1c1d1e1fn,
      f: Uint8Array.from([32, 33, 34, 35, 36, 37, 38, 39]),
    });
  });

  it('reads little-endian where it was declared so', () => {
    const fields = { b: u16(0), c: u32(2), d: u64(6), e: mask64(14) };
    const bytesOf = Uint8Array.from([2, 1, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0, 8, 7, 6, 5, 4, 3, 2, 0xf1]);
    expect(struct('s', 22, fields, 'little').read(new DataView(bytesOf.buffer))).toEqual({
      b: 0x0102,
      c: 0x01020304,
      d: 0x01020304050607,
      e: 0xf102030405060708n,
    });
    bytesOf[13] = 0x20;
    expect(() => struct('s', 22, fields, 'little').read(new DataView(bytesOf.buffer), 0, 0x1000)).toThrow(
      expect.objectContaining({ code: 'NUMBER_TOO_LARGE', where: expect.objectContaining({ at: 0x1006, field: 'd' }) }),
    );
  });

  it('names the place in the file when the bytes end', () => {
    expect(() => all.read(new DataView(content.buffer), 9, 4096)).toThrow(
      expect.objectContaining({
        kind: 'corrupt',
        code: 'STRUCT_TRUNCATED',
        where: expect.objectContaining({ at: 4105, found: '31 bytes' }),
      }),
    );
  });

  it('names the field and its place in the file when a number is 2^53 or more', () => {
    const large = new Uint8Array(32);
    large[9] = 0x20;
    expect(() => all.read(new DataView(large.buffer), 0, 100)).toThrow(
      expect.objectContaining({
        code: 'NUMBER_TOO_LARGE',
        where: expect.objectContaining({ field: 'd', at: 108, found: '0x20000000000000' }),
      }),
    );
  });
});

function viewOf(...content: number[]): DataView {
  return new DataView(Uint8Array.from(content).buffer);
}
