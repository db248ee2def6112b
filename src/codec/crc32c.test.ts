import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32c } from './crc32c.ts';

const ascending = Uint8Array.from({ length: 32 }, (_, index) => index);

describe('crc32c()', () => {
  it.each<[string, Uint8Array, number]>([
    ['nothing', new Uint8Array(0), 0],
    ['the check value of the catalogues', new TextEncoder().encode('123456789'), 0xe3069283],
    ['RFC 3720: 32 bytes of zeros', new Uint8Array(32), 0x8a9136aa],
    ['RFC 3720: 32 bytes of ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ['RFC 3720: ascending', ascending, 0x46dd794e],
    ['RFC 3720: descending', ascending.toReversed(), 0x113fdb5c],
  ])('%s', (_what, bytes, checksum) => {
    expect(crc32c(bytes)).toBe(checksum);
  });

  it('goes on where another ended', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), fc.nat({ max: 50 }), (bytes, cut) => {
        expect(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut)))).toBe(crc32c(bytes));
      }),
    );
  });
});
