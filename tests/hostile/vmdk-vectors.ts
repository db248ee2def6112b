/** VMDK images made to hurt, one entry a vector, named `<expected kind>--<what>`; `read--` vectors are read to their end. */
import { deflateSync } from 'node:zlib';
import { aVmdk, type VmdkBuilder, type VmdkField } from '../support/vmdk-builder.ts';

export interface VmdkVector {
  readonly name: string;
  readonly image: VmdkBuilder | Uint8Array;
  readonly code?: string;
  /** Byte position that the error names; left out where no single one is to blame. */
  readonly at?: number;
}

const ALL_ONES = (1n << 64n) - 1n;
const GRAIN = 4096;
const data = (value: number): Uint8Array => new Uint8Array(GRAIN).fill(value);

const sparse = (): VmdkBuilder =>
  aVmdk()
    .withGrain(0, data(1))
    .withGrain(600 - 80, data(2));
const stream = (): VmdkBuilder => aVmdk({ kind: 'stream' }).withGrain(0, data(1)).withGrain(520, data(2));

export const VMDK_VECTORS: readonly VmdkVector[] = [
  ...headers(),
  ...descriptors(),
  ...extents(),
  ...directories(),
  ...tables(),
  ...footers(),
  ...grains(),
  ...ends(),
];

function field(name: string, which: VmdkField, value: bigint | number, code: string, at: number, image = sparse()): VmdkVector {
  return { name, image: image.withField(which, value), code, at };
}

function headers(): VmdkVector[] {
  return [
    { name: 'corrupt--empty', image: new Uint8Array(0), code: 'VMDK_MAGIC' },
    { name: 'corrupt--other-magic', image: Buffer.alloc(4096, 'QFI'), code: 'VMDK_MAGIC', at: 0 },
    { name: 'corrupt--header-cut', image: sparse().withLength(511), code: 'STRUCT_TRUNCATED' },
    { name: 'unsupported--cowd', image: Buffer.from('COWD'.padEnd(2048, '\0')), code: 'VMDK_COWD', at: 0 },
    { name: 'unsupported--cowd-cut', image: Buffer.from('COWD'), code: 'VMDK_COWD', at: 0 },
    field('unsupported--version-0', 'version', 0, 'VMDK_VERSION', 4),
    field('unsupported--version-4', 'version', 4, 'VMDK_VERSION', 4),
    field('unsupported--flag-bit-3', 'flags', 11, 'VMDK_FLAGS', 8),
    field('unsupported--flag-bit-31', 'flags', 0x80000003, 'VMDK_FLAGS', 8),
    field('refused--compressed-by-flag-only', 'flags', 0x30003, 'VMDK_COMPRESSION', 8),
    field('refused--compressed-by-algorithm-only', 'compressAlgorithm', 1, 'VMDK_COMPRESSION', 8),
    field('refused--compressed-without-markers', 'flags', 0x10003, 'VMDK_COMPRESSION', 8, stream()),
    field('unsupported--algorithm-2', 'compressAlgorithm', 2, 'VMDK_COMPRESSION', 77, stream()),
    field('refused--capacity-0-hidden-descriptor', 'capacity', 0, 'VMDK_CAPACITY_ZERO', 12),
    field('corrupt--capacity-2-to-44', 'capacity', 1n << 44n, 'VMDK_CAPACITY', 12),
    field('corrupt--capacity-all-ones', 'capacity', ALL_ONES, 'NUMBER_TOO_LARGE', 12),
    field('unsupported--capacity-of-too-many-tables', 'capacity', (1n << 34n) + 1n, 'VMDK_CAPACITY', 12),
    field('corrupt--capacity-huge-in-tiny-file', 'capacity', 1n << 34n, 'VMDK_GRAIN_DIRECTORY', 56),
    field('corrupt--grain-size-0', 'grainSize', 0, 'VMDK_GRAIN_SIZE', 20),
    field('corrupt--grain-size-4', 'grainSize', 4, 'VMDK_GRAIN_SIZE', 20),
    field('corrupt--grain-size-24', 'grainSize', 24, 'VMDK_GRAIN_SIZE', 20),
    field('unsupported--grain-size-1-gib', 'grainSize', 0x200000, 'VMDK_GRAIN_SIZE', 20),
    field('corrupt--grain-size-all-ones', 'grainSize', ALL_ONES, 'NUMBER_TOO_LARGE', 20),
    field('unsupported--table-entries-0', 'numGTEsPerGT', 0, 'VMDK_GRAIN_TABLE_SIZE', 44),
    field('unsupported--table-entries-all-ones', 'numGTEsPerGT', 0xffffffff, 'VMDK_GRAIN_TABLE_SIZE', 44),
    field('refused--descriptor-offset-0', 'descriptorOffset', 0, 'VMDK_NO_DESCRIPTOR', 28),
    field('refused--descriptor-elsewhere', 'descriptorOffset', 2, 'VMDK_DESCRIPTOR_PLACE', 28),
    field('corrupt--descriptor-size-0', 'descriptorSize', 0, 'VMDK_DESCRIPTOR_PLACE', 36),
    field('corrupt--descriptor-size-past-the-file', 'descriptorSize', 2048, 'VMDK_DESCRIPTOR_PLACE', 36),
    field('corrupt--descriptor-size-2-mib', 'descriptorSize', 4096, 'VMDK_DESCRIPTOR_PLACE', 36, sparse().withLength(2 ** 22)),
    field(
      'refused--descriptor-room-ends-in-its-text',
      'descriptorSize',
      0x100,
      'VMDK_DESCRIPTOR_BYTES',
      512 + 20 * 512,
      aVmdk().withLength(2 ** 20),
    ),
    field('corrupt--overhead-past-the-file', 'overHead', 1 << 20, 'VMDK_OVERHEAD', 64),
    field('corrupt--newline-changed', 'singleEndLineChar', 13, 'VMDK_NEWLINE', 73),
    { name: 'read--newline-changed-without-the-flag', image: sparse().withField('singleEndLineChar', 13).withField('flags', 2) },
    { name: 'read--unclean', image: sparse().withField('uncleanShutdown', 1) },
    { name: 'read--no-redundant-directory', image: sparse().withField('flags', 1).withField('rgdOffset', ALL_ONES) },
  ];
}

function descriptors(): VmdkVector[] {
  const change = (name: string, from: string, to: string, code: string): VmdkVector => ({
    name,
    image: sparse().withDescriptorChange(from, to),
    code,
  });
  return [
    change('refused--flat-inside', 'monolithicSparse', 'monolithicFlat', 'VMDK_CREATE_TYPE'),
    change('refused--stream-by-word-only', 'monolithicSparse', 'streamOptimized', 'VMDK_CREATE_TYPE'),
    change('refused--type-in-another-case', 'monolithicSparse', 'MonolithicSparse', 'VMDK_CREATE_TYPE'),
    change('refused--parent-cid', 'parentCID=ffffffff', 'parentCID=fffffffe', 'VMDK_PARENT'),
    change('refused--parent-hint', 'parentCID=ffffffff', 'parentCID=ffffffff\nparentFileNameHint="b.vmdk"', 'VMDK_PARENT'),
    change('refused--parent-in-a-comment', '#DDB', '# parentFileNameHint="/etc/shadow"', 'VMDK_DESCRIPTOR_KEY'),
    change('refused--parent-cid-before-cid', 'CID=f0a4b3c2\nparentCID=ffffffff', 'parentCID=ffffffff\nCID=f0a4b3c2', 'VMDK_DESCRIPTOR_KEY'),
    change('refused--two-types', 'version=1', 'version=1\n# createType="monolithicFlat"', 'VMDK_DESCRIPTOR_KEY'),
    change('refused--hidden-behind-nul', 'ide"\n', 'ide"\n\0parentFileNameHint="/etc/shadow"', 'VMDK_DESCRIPTOR_BYTES'),
    change('refused--escape-sequence', '#DDB', '#\x1b]0;x\x07', 'VMDK_DESCRIPTOR_BYTES'),
    { name: 'refused--descriptor-full', image: sparse().withDescriptor('x'.repeat(20 * 512)), code: 'VMDK_DESCRIPTOR_BYTES' },
    { name: 'refused--descriptor-empty', image: sparse().withDescriptor(''), code: 'VMDK_NO_DESCRIPTOR' },
    {
      name: 'refused--descriptor-file-of-2-mib',
      image: Buffer.from('# Disk DescriptorFile\n'.padEnd(2 ** 21, '#\n')),
      code: 'VMDK_DESCRIPTOR_LENGTH',
    },
  ];
}

function extents(): VmdkVector[] {
  const line = 'RW 4176 SPARSE "a.vmdk"';
  const change = (name: string, to: string, code: string): VmdkVector => ({ name, image: sparse().withDescriptorChange(line, to), code });
  return [
    ...['/etc/shadow', '../a.vmdk', 'b/a.vmdk', 'nbd:host:1', 'json:{}', 'c:a', '..', '.', 'a|22.vmdk', 'b\\a.vmdk', 'x'.repeat(256)].map(
      (name, index) => change(`refused--extent-name-${index}`, `RW 4176 SPARSE "${name}"`, 'VMDK_EXTENT_NAME'),
    ),
    change('refused--two-extents', `${line}\n${line}`, 'VMDK_EXTENT'),
    change('refused--no-extent', '', 'VMDK_EXTENT'),
    change('refused--flat-extent-of-a-sparse-image', 'RW 4176 FLAT "/etc/shadow" 0', 'VMDK_EXTENT'),
    change('refused--read-only-sparse', 'RDONLY 4176 SPARSE "a.vmdk"', 'VMDK_EXTENT'),
    change('refused--extent-shorter-than-the-disk', 'RW 4168 SPARSE "a.vmdk"', 'VMDK_EXTENT'),
    change('refused--extent-longer-than-the-disk', 'RW 4177 SPARSE "a.vmdk"', 'VMDK_EXTENT'),
    change('refused--extent-of-0-sectors', 'RW 0 SPARSE "a.vmdk"', 'VMDK_EXTENT'),
    change('refused--extent-over-two-lines', 'RW 4176 SPARSE\n"a.vmdk"', 'VMDK_EXTENT'),
  ];
}

function directories(): VmdkVector[] {
  const image = sparse();
  const { directory, redundant, length } = image;
  const first = (image.tables[0] as number) / 512;
  const entry = (name: string, at: number, value: number, code: string, blamed: number | undefined): VmdkVector => ({
    name,
    image: sparse().withU32(at, value),
    code,
    ...(blamed === undefined ? {} : { at: blamed }),
  });
  return [
    field('corrupt--gd-offset-0', 'gdOffset', 0, 'VMDK_GRAIN_DIRECTORY', 56),
    field('corrupt--gd-offset-outside', 'gdOffset', length / 512, 'VMDK_GRAIN_DIRECTORY', 56),
    field('corrupt--gd-offset-2-to-63', 'gdOffset', 1n << 63n, 'VMDK_GRAIN_DIRECTORY', 56),
    field('corrupt--gd-offset-wraps', 'gdOffset', ALL_ONES - 1n, 'VMDK_GRAIN_DIRECTORY', 56),
    field('corrupt--rgd-offset-0', 'rgdOffset', 0, 'VMDK_GRAIN_DIRECTORY', 48),
    field('corrupt--rgd-offset-all-ones', 'rgdOffset', ALL_ONES, 'VMDK_GRAIN_DIRECTORY', 48),
    // Only one directory, and only one of the tables twice: every reader finds the same grains.
    { name: 'read--gd-is-rgd', image: sparse().withField('gdOffset', redundant / 512) },
    field('corrupt--gd-in-the-descriptor', 'gdOffset', 19, 'VMDK_REDUNDANT', redundant, sparse()),
    entry('corrupt--gd-entry-outside', directory, length / 512 - 3, 'VMDK_GRAIN_TABLE', directory),
    entry('corrupt--gd-entry-all-ones', directory + 4, 0xffffffff, 'VMDK_GRAIN_TABLE', directory + 4),
    entry('corrupt--rgd-entry-all-ones', redundant + 4, 0xffffffff, 'VMDK_GRAIN_TABLE', redundant + 4),
    entry('corrupt--gd-entries-at-one-table', directory + 4, first, 'VMDK_GRAIN_TABLE_TWICE', first * 512),
    entry('corrupt--gd-entries-overlap', directory + 4, first + 3, 'VMDK_GRAIN_TABLE_TWICE', (first + 3) * 512),
    { name: 'read--rgd-entry-at-the-other-table', image: sparse().withU32(redundant, first) },
    entry('corrupt--gd-entry-is-the-descriptor', directory, 1, 'VMDK_OVERLAP', undefined),
    entry('corrupt--gd-entry-is-the-directory', directory, directory / 512 - 3, 'VMDK_GRAIN_TABLE_TWICE', undefined),
    entry('corrupt--rgd-entry-missing', redundant, 0, 'VMDK_REDUNDANT', redundant),
    entry('corrupt--gd-entry-missing', directory, 0, 'VMDK_REDUNDANT', redundant),
  ];
}

function tables(): VmdkVector[] {
  const image = sparse();
  const at = image.entryAt(3);
  const twin = image.entryAt(3, image.redundantTables);
  const entry = (name: string, value: number, code = 'VMDK_GRAIN'): VmdkVector => ({ name, image: sparse().withEntry(3, value), code, at });
  return [
    entry('corrupt--gte-1-without-the-flag', 1),
    entry('corrupt--gte-is-the-header', 0x10),
    entry('corrupt--gte-is-its-own-table', (image.tables[0] as number) / 512),
    entry('corrupt--gte-ends-in-the-directory', image.redundant / 512 - 7),
    entry('corrupt--gte-outside', image.length / 512 - 7),
    entry('corrupt--gte-all-ones', 0xffffffff),
    { name: 'corrupt--redundant-table-differs', image: sparse().withU32(twin, 100), code: 'VMDK_REDUNDANT', at: twin },
    {
      name: 'corrupt--redundant-table-differs-behind-the-disk',
      image: sparse().withU32((image.redundantTables[1] as number) + 2044, 5),
      code: 'VMDK_REDUNDANT',
    },
    { name: 'read--gtes-at-one-grain', image: sparse().withEntry(3, image.length / 512 - 8) },
    { name: 'read--gte-1-with-the-flag', image: sparse().withField('flags', 7).withEntry(3, 1) },
    {
      name: 'read--gte-behind-the-disk',
      image: sparse()
        .withU32((image.redundantTables[1] as number) + 2044, 5)
        .withU32((image.tables[1] as number) + 2044, 5),
    },
  ];
}

function footers(): VmdkVector[] {
  const image = stream().withFooter();
  const marker = image.length - 3 * 512;
  const footer = marker + 512;
  const change = (name: string, at: number, value: number, blamed = at): VmdkVector => ({
    name,
    image: stream().withFooter().withBytes(at, Uint8Array.of(value)),
    code: 'VMDK_FOOTER',
    at: blamed,
  });
  return [
    { name: 'read--footer', image },
    change('corrupt--footer-marker-of-two-sectors', marker, 2),
    change('corrupt--footer-marker-with-a-size', marker + 8, 1, marker),
    change('corrupt--footer-marker-type-2', marker + 12, 2, marker),
    change('corrupt--footer-of-another-version', footer + 4, 1),
    change('corrupt--footer-of-another-capacity', footer + 12, 1),
    change('corrupt--footer-of-other-flags', footer + 10, 1),
    change('corrupt--footer-of-another-rgd', footer + 48, 99),
    change('corrupt--footer-of-other-padding', footer + 511, 1),
    change('corrupt--no-end-of-stream', footer + 512 + 12, 1, footer + 512),
    {
      name: 'corrupt--footer-cut',
      image: stream()
        .withFooter()
        .withLength(image.length - 512),
      code: 'VMDK_FOOTER',
    },
    {
      name: 'corrupt--footer-not-at-the-end',
      image: stream()
        .withFooter()
        .withLength(image.length + 512),
      code: 'VMDK_FOOTER',
    },
    {
      name: 'corrupt--footer-in-half-a-sector',
      image: stream()
        .withFooter()
        .withLength(image.length + 7),
      code: 'VMDK_FOOTER',
    },
    field('corrupt--footer-of-a-sparse-image', 'gdOffset', ALL_ONES, 'VMDK_FOOTER', 56),
    field('corrupt--footer-missing', 'gdOffset', ALL_ONES, 'VMDK_FOOTER', stream().length - 1536, stream()),
    {
      name: 'corrupt--footer-says-footer',
      image: stream()
        .withFooter()
        .withBytes(footer + 56, new Uint8Array(8).fill(255)),
      code: 'VMDK_GRAIN_DIRECTORY',
      at: 56,
    },
    {
      name: 'corrupt--footer-says-0',
      image: stream()
        .withFooter()
        .withBytes(footer + 56, new Uint8Array(8)),
      code: 'VMDK_GRAIN_DIRECTORY',
      at: 56,
    },
  ];
}

function grains(): VmdkVector[] {
  const base = aVmdk({ kind: 'stream' });
  const at = base.length;
  const image = (lba: number, content: Uint8Array, size?: number): VmdkBuilder =>
    aVmdk({ kind: 'stream' })
      .withMarked(at, lba, content, size)
      .withLength(at + 8192)
      .withEntry(2, at / 512);
  const whole = deflateSync(data(3));
  return [
    { name: 'read--grain', image: image(16, whole) },
    { name: 'corrupt--marker-of-another-grain', image: image(8, whole), code: 'VMDK_MARKER', at },
    { name: 'corrupt--marker-lba-2-to-60', image: image(16, whole).withBytes(at + 7, Uint8Array.of(16)), code: 'NUMBER_TOO_LARGE', at },
    { name: 'corrupt--marker-size-0', image: image(16, whole, 0), code: 'VMDK_MARKER', at: at + 8 },
    { name: 'corrupt--marker-size-all-ones', image: image(16, whole, 0xffffffff), code: 'VMDK_MARKER', at: at + 8 },
    { name: 'corrupt--marker-size-past-the-file', image: image(16, whole, 8192).withLength(at + 4096), code: 'VMDK_MARKER', at: at + 8 },
    { name: 'corrupt--no-zlib-stream', image: image(16, new Uint8Array(100).fill(255)), code: 'DEFLATE', at: at + 12 },
    { name: 'corrupt--zlib-cut', image: image(16, whole, whole.byteLength - 4), code: 'DEFLATE', at: at + 12 },
    {
      name: 'corrupt--zlib-checksum',
      image: image(16, whole).withBytes(at + 12 + whole.byteLength - 1, Uint8Array.of(0x77)),
      code: 'DEFLATE',
    },
    { name: 'corrupt--bomb', image: image(16, deflateSync(new Uint8Array(2 ** 20))), code: 'DEFLATE_TOO_LONG', at: at + 12 },
    { name: 'corrupt--grain-one-byte-short', image: image(16, deflateSync(new Uint8Array(4095))), code: 'VMDK_GRAIN_SHORT', at: at + 12 },
    { name: 'corrupt--gte-of-a-stream-is-the-descriptor', image: stream().withEntry(3, 1), code: 'VMDK_GRAIN' },
    { name: 'corrupt--gte-of-a-stream-at-the-end', image: stream().withEntry(3, stream().length / 512), code: 'VMDK_GRAIN' },
  ];
}

function ends(): VmdkVector[] {
  const { length } = sparse();
  return [
    { name: 'corrupt--last-grain-cut', image: sparse().withLength(length - 1), code: 'VMDK_GRAIN' },
    { name: 'corrupt--cut-in-the-tables', image: sparse().withLength(16 * 1024), code: 'VMDK_OVERHEAD' },
    { name: 'corrupt--cut-in-the-descriptor', image: sparse().withLength(4096), code: 'VMDK_DESCRIPTOR_PLACE' },
    { name: 'read--bytes-behind-the-end', image: sparse().withLength(length + 5000) },
  ];
}
