import { deflateRawSync, deflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { inflate } from './inflate.ts';

const plain = Buffer.from('plimsoll '.repeat(1000));
const where = { doing: 'read a test', at: 512 };

describe('inflate()', () => {
  it('gives what was compressed, with and without a wrapping, and whatever follows', () => {
    const padding = Buffer.alloc(300, 7);
    const raw = Buffer.concat([deflateRawSync(plain), padding]);
    expect(Buffer.from(inflate(raw, { ...where, wrapping: 'raw', mostBytes: plain.length }))).toEqual(plain);
    expect(Buffer.from(inflate(deflateSync(plain), { ...where, wrapping: 'zlib', mostBytes: plain.length }))).toEqual(plain);
  });

  it.each([
    ['DEFLATE_TOO_LONG', deflateRawSync(plain), plain.length - 1],
    ['DEFLATE', deflateRawSync(plain).subarray(0, 20), plain.length],
    ['DEFLATE', Buffer.alloc(64, 0xff), 64],
    ['DEFLATE', Buffer.alloc(0), 64],
  ] as const)('refuses: %s', (code, input, mostBytes) => {
    const run = (): unknown => inflate(input, { ...where, wrapping: 'raw', mostBytes });
    expect(run).toThrow(expect.objectContaining({ kind: 'corrupt', code }));
  });
});
