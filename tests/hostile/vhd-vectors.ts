/**
 * Hostile VHD images, named `<expected kind>--<what>`. `report` vectors open, and all their bytes can be read; `reads`
 * vectors open, and reading all of them ends in this error; all others end so at opening.
 */
import { bigEndian } from '../support/qcow2-builder.ts';
import { aVhd, HEADER_AT, TABLE_AT, text, type VhdBuilder } from '../support/vhd-builder.ts';

export interface VhdVector {
  readonly name: string;
  readonly image: VhdBuilder;
  readonly code?: string;
  /** Byte position that the error names. */
  readonly at?: number;
  /** The error comes at reading, not at opening. */
  readonly atRead?: boolean;
}

const PAST_53_BITS = 1n << 53n;
const ALL_ONES = (1n << 64n) - 1n;

/** A dynamic disk whose footer is changed. */
const dynamic = (): VhdBuilder => aVhd().withBlock(1, 0x11).withBlock(0, 0x22);

export const VHD_VECTORS: readonly VhdVector[] = [...footers(), ...headers(), ...tables(), ...locators(), ...readable()];

function footers(): VhdVector[] {
  const end = dynamic().dataEnd;
  const fixedEnd = aVhd({ diskType: 'fixed' }).dataEnd;
  const other = aVhd({ diskType: 'fixed', capacity: 8192 }).bytes();
  return [
    { name: 'corrupt--empty-file', image: dynamic().cutAt(0), code: 'VHD_TOO_SHORT' },
    { name: 'corrupt--511-bytes', image: dynamic().cutAt(511), code: 'VHD_TOO_SHORT' },
    { name: 'corrupt--only-the-copy', image: dynamic().cutAt(512), code: 'IMAGE_TRUNCATED' },
    { name: 'corrupt--no-footer', image: aVhd({ diskType: 'fixed' }).withoutFooterAtEnd(), code: 'VHD_COOKIE', at: fixedEnd - 512 },
    {
      name: 'corrupt--footer-cut-in-its-uuid',
      image: aVhd({ diskType: 'fixed', capacity: 8192 }).cutAt(8192 + 80),
      code: 'VHD_CHECKSUM',
      at: 8192 + 64,
    },
    { name: 'corrupt--dynamic-without-copy', image: dynamic().withoutCopy(), code: 'VHD_FOOTER_COPY', at: 0 },
    { name: 'corrupt--fixed-with-copy', image: dynamic().withFooter('diskType', 2), code: 'VHD_FOOTER_COPY', at: 60 },
    { name: 'corrupt--checksum', image: dynamic().withFooter('checksum', 7), code: 'VHD_CHECKSUM', at: 64 },
    {
      name: 'corrupt--checksum-of-fixed',
      image: aVhd({ diskType: 'fixed' }).withFooter('checksum', 7),
      code: 'VHD_CHECKSUM',
      at: fixedEnd + 64,
    },
    { name: 'unsupported--version-2', image: dynamic().withFooter('fileFormatVersion', 0x20000), code: 'VHD_VERSION', at: 12 },
    { name: 'unsupported--version-0', image: dynamic().withFooter('fileFormatVersion', 0), code: 'VHD_VERSION', at: 12 },
    ...[0, 1, 5, 6, 0xffffffff].map((type) => ({
      name: `unsupported--disk-type-${type}`,
      image: dynamic().withFooter('diskType', type),
      code: 'VHD_DISK_TYPE',
      at: 60,
    })),
    { name: 'corrupt--size-2-to-53', image: dynamic().withFooter('currentSize', PAST_53_BITS), code: 'NUMBER_TOO_LARGE', at: 48 },
    { name: 'unsupported--size-over-2040-gib', image: dynamic().withFooter('currentSize', 0xff000001 * 512), code: 'VHD_CAPACITY', at: 48 },
    { name: 'corrupt--size-2040-gib', image: dynamic().withFooter('currentSize', 0xff000000 * 512), code: 'VHD_TABLE_ENTRIES', at: 540 },
    {
      name: 'corrupt--geometry-larger-than-table',
      image: dynamic().withFooter('creatorApplication', text('vbox')).withFooter('cylinders', 65535),
      code: 'VHD_TABLE_ENTRIES',
      at: 540,
    },
    { name: 'corrupt--data-offset-0', image: dynamic().withFooter('dataOffset', 0), code: 'VHD_DATA_OFFSET', at: 16 },
    { name: 'corrupt--data-offset-all-ones', image: dynamic().withFooter('dataOffset', ALL_ONES), code: 'VHD_DATA_OFFSET', at: 16 },
    { name: 'corrupt--data-offset-behind-file', image: dynamic().withFooter('dataOffset', 2 ** 40), code: 'IMAGE_TRUNCATED', at: 2 ** 40 },
    { name: 'corrupt--data-offset-last-byte', image: dynamic().withFooter('dataOffset', end + 511), code: 'IMAGE_TRUNCATED' },
    { name: 'corrupt--data-offset-at-table', image: dynamic().withFooter('dataOffset', TABLE_AT), code: 'VHD_HEADER_COOKIE', at: TABLE_AT },
    {
      name: 'corrupt--fixed-larger-than-file',
      image: aVhd({ diskType: 'fixed', capacity: 8192 }).withFooter('currentSize', 8704),
      code: 'VHD_FIXED_LENGTH',
    },
    {
      name: 'corrupt--guest-wrote-a-footer-into-its-fixed-disk',
      image: aVhd({ diskType: 'fixed' }).withBytes(0, dynamic().bytes().slice(0, 512)),
      code: 'VHD_FOOTERS_DIFFER',
      at: fixedEnd,
    },
    {
      name: 'corrupt--another-disk-at-the-end',
      image: dynamic().withBytes(end, other.slice(8192, 8704)),
      code: 'VHD_FOOTERS_DIFFER',
      at: end,
    },
  ];
}

function headers(): VhdVector[] {
  const one = aVhd().bytes().byteLength;
  return [
    { name: 'corrupt--header-cookie', image: aVhd().withHeader('cookie', text('cxsparsf')), code: 'VHD_HEADER_COOKIE', at: HEADER_AT },
    { name: 'corrupt--header-checksum', image: aVhd().withHeader('checksum', 1), code: 'VHD_HEADER_CHECKSUM', at: HEADER_AT + 36 },
    { name: 'unsupported--header-version-2', image: aVhd().withHeader('headerVersion', 0x20000), code: 'VHD_HEADER_VERSION', at: 536 },
    ...[0, 1, 256, 511, 513, 8191, 0xffffffff].map((size) => ({
      name: `corrupt--block-size-${size}`,
      image: aVhd().withHeader('blockSize', size),
      code: 'VHD_BLOCK_SIZE',
      at: 544,
    })),
    { name: 'corrupt--table-entries-0', image: aVhd().withHeader('maxTableEntries', 0), code: 'VHD_TABLE_ENTRIES', at: 540 },
    { name: 'corrupt--table-entries-too-few', image: aVhd().withHeader('maxTableEntries', 7), code: 'VHD_TABLE_ENTRIES', at: 540 },
    {
      name: 'over-budget--table-entries-all-ones',
      image: aVhd().withHeader('maxTableEntries', 0xffffffff),
      code: 'VHD_TABLE_LIMIT',
      at: 540,
    },
    { name: 'over-budget--table-16-mib-and-4', image: aVhd().withHeader('maxTableEntries', 2 ** 22 + 1), code: 'VHD_TABLE_LIMIT', at: 540 },
    { name: 'corrupt--table-behind-file', image: aVhd().withHeader('maxTableEntries', 2 ** 22), code: 'VHD_TABLE_OFFSET', at: 528 },
    { name: 'corrupt--table-offset-0', image: aVhd().withHeader('tableOffset', 0), code: 'VHD_TABLE_OFFSET', at: 528 },
    { name: 'corrupt--table-offset-past-end', image: aVhd().withHeader('tableOffset', one - 31), code: 'VHD_TABLE_OFFSET', at: 528 },
    { name: 'corrupt--table-offset-2-to-53', image: aVhd().withHeader('tableOffset', PAST_53_BITS), code: 'NUMBER_TOO_LARGE', at: 528 },
    { name: 'corrupt--table-over-header', image: aVhd().withHeader('tableOffset', 600), code: 'VHD_STRUCTURES_OVERLAP', at: 600 },
  ];
}

function tables(): VhdVector[] {
  const entry = (index: number, sector: number): VhdBuilder => dynamic().withEntry(index, sector);
  const end = dynamic().dataEnd / 512;
  const cases: [string, number, number][] = [
    ['at-sector-0', 2, 0],
    ['over-header', 2, 1],
    ['over-table', 2, 3],
    ['behind-file', 2, 2 ** 31],
    ['all-ones-less-one', 2, 0xfffffffe],
    ['over-footer-at-end', 2, end - 16],
    ['twice', 2, 4],
    ['half-over-another', 2, 5],
    ['behind-capacity-over-another', 8, 4],
  ];
  return cases.map(([what, index, sector]) => ({
    name: `corrupt--block-${what}`,
    image: index < 8 ? entry(index, sector) : aVhd({ tableEntries: 9 }).withBlock(0, 1).withEntry(index, sector),
    code: 'VHD_TABLE_ENTRY',
    at: TABLE_AT + index * 4,
  }));
}

function locators(): VhdVector[] {
  const differencing = (): VhdBuilder => aVhd({ diskType: 'differencing' });
  const name = text('x');
  return [
    {
      name: 'over-budget--locator-of-4-gib',
      image: differencing().withParentLocator(0, 'W2ku', name, undefined, 0xffffffff),
      code: 'VHD_LOCATOR_LENGTH',
      at: 512 + 576 + 8,
    },
    {
      name: 'corrupt--locator-behind-file',
      image: differencing().withParentLocator(7, 'W2ru', name, 2 ** 40, 20),
      code: 'VHD_LOCATOR_OFFSET',
      at: 512 + 576 + 7 * 24 + 16,
    },
    {
      name: 'corrupt--locator-over-table',
      image: differencing().withParentLocator(0, 'W2ru', name, TABLE_AT, 20),
      code: 'VHD_STRUCTURES_OVERLAP',
      at: TABLE_AT,
    },
    {
      name: 'corrupt--locators-in-one-place',
      image: differencing()
        .withParentLocator(0, 'W2ru', name, TABLE_AT + 512, 20)
        .withParentLocator(1, 'W2ku', name, TABLE_AT + 512, 20),
      code: 'VHD_STRUCTURES_OVERLAP',
      at: TABLE_AT + 512,
    },
  ];
}

function readable(): VhdVector[] {
  const differencing = (): VhdBuilder => aVhd({ diskType: 'differencing', capacity: 16_384 });
  return [
    { name: 'report--size-0', image: aVhd().withFooter('currentSize', 0) },
    { name: 'report--size-511', image: aVhd().withFooter('currentSize', 511) },
    { name: 'report--no-footer-at-end', image: dynamic().withoutFooterAtEnd() },
    { name: 'report--fixed-with-a-footer-of-511-bytes', image: aVhd({ diskType: 'fixed', capacity: 8192 }).cutAt(8192 + 511) },
    { name: 'report--torn-footer-at-end', image: dynamic().withBytes(dynamic().dataEnd + 100, bigEndian(1n, 4)) },
    { name: 'report--locators-of-a-dynamic-disk', image: aVhd().withParentLocator(0, 'W2ku', text('x'), 2 ** 40, 2 ** 31) },
    { name: 'report--clear-bitmap', image: aVhd().withBlock(0, 0x33, 0) },
    { name: 'report--differencing-with-all-its-bytes', image: differencing().withBlock(0, 1).withBlock(1, 2) },
    { name: 'unsupported--differencing', image: differencing().withBlock(1, 2), code: 'VHD_DIFFERENCING', at: 0, atRead: true },
    {
      name: 'unsupported--differencing-clear-bit',
      image: differencing().withBlock(0, 1).withBlock(1, 2, 0xf7),
      code: 'VHD_DIFFERENCING',
      at: 8192 + 4 * 512,
      atRead: true,
    },
  ];
}
