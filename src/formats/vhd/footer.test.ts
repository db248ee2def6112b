import { describe, expect, it } from 'vitest';
import { aVhd, text } from '../../../tests/support/vhd-builder.ts';
import { checksumOf, hasFooterCookie, isSameDisk, parseFooter } from './footer.ts';

const footerOf = (image = aVhd()): Uint8Array => image.bytes().slice(0, 512);

describe('parseFooter()', () => {
  it('reads a footer', () => {
    expect(parseFooter(footerOf(aVhd().withFooter('timeStamp', 77).withFooter('savedState', 1)), 0)).toEqual({
      diskType: 'dynamic',
      capacity: 65_536,
      capacityFrom: 'current size',
      currentSize: 65_536,
      geometryBytes: 4 * 17 * 512,
      creatorApplication: 'win ',
      creatorHostOs: 'Wi2k',
      timeStamp: 77,
      uniqueId: '30313233-3435-3637-3839-616263646566',
      savedState: true,
      dataOffset: 512,
    });
  });

  it.each([
    ['win ', 'current size'],
    ['qem2', 'current size'],
    ['d2v ', 'current size'],
    ['tap\0', 'current size'],
    ['CTXS', 'current size'],
    ['vpc ', 'geometry'],
    ['qemu', 'geometry'],
    ['vbox', 'geometry'],
    ['wa\0\0', 'geometry'],
  ] as const)('takes the capacity of creator %j from its %s', (creator, capacityFrom) => {
    const footer = parseFooter(footerOf(aVhd().withFooter('creatorApplication', text(creator))), 0);
    expect(footer).toMatchObject({ capacityFrom, capacity: capacityFrom === 'geometry' ? 34_816 : 65_536 });
  });

  it('takes the current size where the geometry is the largest there is', () => {
    const image = aVhd().withFooter('creatorApplication', text('vpc ')).withFooter('cylinders', 65_535);
    expect(parseFooter(footerOf(image.withFooter('heads', 16).withFooter('sectorsPerTrack', 255)), 0).capacity).toBe(65_536);
  });

  it('leaves out a last part of a sector', () => {
    expect(parseFooter(footerOf(aVhd().withFooter('currentSize', 1535)), 0).capacity).toBe(1024);
  });

  it('names the place in the file', () => {
    const image = aVhd({ diskType: 'fixed' }).withFooter('diskType', 9);
    expect(() => parseFooter(image.bytes().slice(-512), 65_536)).toThrow(
      expect.objectContaining({ code: 'VHD_DISK_TYPE', where: expect.objectContaining({ at: 65_536 + 60 }) }),
    );
  });

  it('says of a file that is something else that the cookie is missing, whatever follows', () => {
    expect(() => parseFooter(new Uint8Array(512).fill(0xff), 0)).toThrow(expect.objectContaining({ code: 'VHD_COOKIE' }));
  });
});

describe('checksumOf()', () => {
  it('leaves out the checksum itself', () => {
    const sector = new Uint8Array(512).fill(1);
    expect(checksumOf(sector, 64)).toBe(0xffffffff - 508);
    sector.fill(0xff, 64, 68);
    expect(checksumOf(sector, 64)).toBe(0xffffffff - 508);
  });
});

describe('hasFooterCookie()', () => {
  it('needs a whole sector', () => {
    expect(hasFooterCookie(footerOf())).toBe(true);
    expect(hasFooterCookie(footerOf().subarray(0, 511))).toBe(false);
    expect(hasFooterCookie(new Uint8Array(512))).toBe(false);
  });
});

describe('isSameDisk()', () => {
  it('overlooks time stamp and saved state, nothing else', () => {
    const footer = parseFooter(footerOf(), 0);
    const other = (image: ReturnType<typeof aVhd>): boolean => isSameDisk(footer, parseFooter(footerOf(image), 0));
    expect(other(aVhd().withFooter('timeStamp', 1).withFooter('savedState', 1))).toBe(true);
    expect(other(aVhd().withFooter('dataOffset', 1024))).toBe(false);
    expect(other(aVhd().withFooter('uniqueId', new Uint8Array(16)))).toBe(false);
    expect(other(aVhd().withFooter('heads', 5))).toBe(false);
    expect(other(aVhd().withFooter('diskType', 4))).toBe(false);
  });
});
