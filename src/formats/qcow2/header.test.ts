import { describe, expect, it } from 'vitest';
import { aQcow2 } from '../../../tests/support/qcow2-builder.ts';
import { hasMagic, type Header, parseHeader } from './header.ts';

const read = (image: ReturnType<typeof aQcow2>): Header => {
  const result = parseHeader(image.bytes().subarray(0, image.clusterSize), image.length);
  if ('needs' in result) throw new Error(`needs ${result.needs} bytes`);
  return result;
};

/** That each field is refused at its bounds, at the right place, is in tests/hostile/vectors.ts. */
describe('parseHeader()', () => {
  it('reads version 3', () => {
    const image = aQcow2({ clusterBits: 12, capacity: 3 * 2 ** 20, refcountOrder: 6 })
      .withField('compatibleFeatures', 1)
      .withField('incompatibleFeatures', 3);
    expect(read(image)).toMatchObject({
      version: 3,
      clusterSize: 4096,
      capacity: 3 * 2 ** 20,
      encryption: 'none',
      l1Size: 2,
      l1TableOffset: image.l1,
      refcountTableOffset: image.refcountTable,
      refcountTableClusters: 1,
      refcountOrder: 6,
      refcountBlockEntries: 512,
      l2Entries: 512,
      dirty: true,
      corrupt: true,
      lazyRefcounts: true,
      extendedL2: false,
      externalDataFile: false,
      compressionType: 'zlib',
      backingFile: undefined,
      backingFileBytes: undefined,
      bitmapsValid: false,
    });
  });

  it('reads version 2, whose tail is none: bytes 72 to 103 are extensions', () => {
    const image = aQcow2({ version: 2 }).withExtension(0xe2792aca, Buffer.from('raw')).withBackingFile('base');
    expect(read(image)).toMatchObject({
      version: 2,
      refcountOrder: 4,
      dirty: false,
      extendedL2: false,
      backingFile: 'base',
      backingFormat: 'raw',
    });
  });

  it('reads extended L2: entries of 16 bytes', () => {
    expect(read(aQcow2({ extendedL2: true }))).toMatchObject({ extendedL2: true, l2Entries: 4096 });
  });

  it('reads the compression type', () => {
    expect(
      read(aQcow2().withField('headerLength', 112).withField('incompatibleFeatures', 8).withBytes(104, Uint8Array.of(1))).compressionType,
    ).toBe('zstd');
  });

  it('reads every extension it knows and passes over the others', () => {
    const image = aQcow2()
      .withField('incompatibleFeatures', 4)
      .withExtension(0x6803f857, new Uint8Array(48))
      .withExtension(0x44415441, Buffer.from('data.raw'))
      .withExtension(0x11111111, new Uint8Array(5))
      .withExtension(0x0537be77, Buffer.from('00000000000000000000000000010000', 'hex'))
      .withBackingFile('größe', 'qcow2');
    expect(read(image)).toMatchObject({
      externalDataFile: true,
      dataFileName: 'data.raw',
      encryptionHeader: { offset: 0, length: 65536 },
      backingFile: 'größe',
      backingFormat: 'qcow2',
    });
  });

  it('keeps the bytes of names that are no UTF-8, and a byte order mark', () => {
    const bytes = Buffer.from([0xef, 0xbb, 0xbf, 0x61, 0xff]);
    expect(read(aQcow2().withBackingFile(bytes))).toMatchObject({ backingFile: '\ufeffa\ufffd', backingFileBytes: Uint8Array.from(bytes) });
  });

  it('takes bitmaps only where the autoclear bit vouches for them', () => {
    const image = aQcow2().withBitmaps([{}]);
    expect(read(image)).toMatchObject({ bitmapsValid: true, bitmaps: { nbBitmaps: 1, directorySize: 32 } });
    expect(read(image.withField('autoclearFeatures', 0))).toMatchObject({ bitmapsValid: false, bitmaps: undefined });
  });

  it('asks for the first cluster when extensions go on behind the bytes at hand', () => {
    const image = aQcow2().withExtension(0x6803f857, new Uint8Array(8000)).withBackingFile('far');
    const bytes = image.bytes();
    expect(parseHeader(bytes.subarray(0, 4096), image.length)).toEqual({ needs: 65536 });
    expect(parseHeader(bytes.subarray(0, 65536), image.length)).toMatchObject({ backingFile: 'far' });
  });

  it.each([
    [9, 6, 2 ** 26],
    [16, 4, 2 ** 35],
    [21, 0, 2 ** 32],
  ])('ends host clusters where refcounts or exact numbers end: cluster_bits %i, refcount_order %i', (clusterBits, refcountOrder, limit) => {
    expect(read(aQcow2({ clusterBits, refcountOrder })).hostClusterLimit).toBe(limit);
  });
});

describe('hasMagic()', () => {
  it.each([
    [[], false],
    [[0x51, 0x46, 0x49], false],
    [[0x51, 0x46, 0x49, 0xfb], true],
    [[0x51, 0x46, 0x49, 0xfa], false],
  ])('%j: %s', (bytes, expected) => {
    expect(hasMagic(Uint8Array.from(bytes))).toBe(expected);
  });
});
