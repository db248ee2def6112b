/** The creation options of raw and qcow2, with the rules by which `qemu-img create` of QEMU 7.2 refuses them. */
import { isPowerOfTwo, PlimsollError, requireArgument, requireFormat, requireOptions } from '#base';
import { ENCRYPTION_OPTIONS, type Encryption, readEncryption } from './luks-header.ts';
import { NEW_QCOW2_DEFAULTS, type NewQcow2Options, type Preallocation } from '#formats';
import { badOption, contradiction, OptionReader } from './option-list.ts';

export type NewImageFormat = 'raw' | 'qcow2';

export interface BackingChoice {
  /** As it will be recorded: relative to the new image's directory, or absolute. */
  readonly name: string;
  readonly format: NewImageFormat;
}

export interface RawOptions {
  readonly format: 'raw';
  readonly preallocation: Exclude<Preallocation, 'metadata'>;
  /** btrfs: written in place. */
  readonly noCow: boolean;
}

export interface Qcow2Options {
  readonly format: 'qcow2';
  readonly qcow2: NewQcow2Options;
  readonly encryption: Encryption;
  /** From backing_file and backing_fmt. */
  readonly backing?: BackingChoice;
  readonly noCow: boolean;
}

export type CreateOptions = RawOptions | Qcow2Options;

const RAW_OPTIONS = ['preallocation', 'nocow', 'extent_size_hint'];
const QCOW2_OPTIONS = [
  'backing_file',
  'backing_fmt',
  'cluster_size',
  'compat',
  'compression_type',
  'data_file',
  'data_file_raw',
  'extended_l2',
  'extent_size_hint',
  'lazy_refcounts',
  'nocow',
  'preallocation',
  'refcount_bits',
  ...ENCRYPTION_OPTIONS,
];

/** 512 bytes for each of the 32 subclusters. */
const MIN_EXTENDED_L2_CLUSTER = 16384;
const MIN_CLUSTER = 512;
const MAX_CLUSTER = 2 * 1024 * 1024;

/**
 * The options of `-o key=value,...`, each list as it was given.
 *
 * Throws: usage (OPTION_SYNTAX, OPTION_UNKNOWN, OPTION_VALUE, OPTION_CONFLICT), naming the option, what was found and
 * what is expected; unsupported, for an extent size hint.
 */
export function parseCreateOptions(format: NewImageFormat, lists: readonly string[]): CreateOptions {
  const call = 'parseCreateOptions()';
  requireFormat(call, format);
  const areTexts = Array.isArray(lists) && lists.every((list) => typeof list === 'string');
  requireArgument(areTexts, { call, name: 'lists', value: lists, expected: "an array of texts such as 'cluster_size=2M'" });
  const reader = new OptionReader(format, lists);
  return format === 'raw' ? readRawOptions(reader) : readQcow2Options(reader);
}

/** Throws: usage, unless `options` are those that `parseCreateOptions` gives for `format`. */
export function requireOptionsOf(call: string, format: unknown, options: unknown): void {
  requireFormat(call, format);
  const expected = `those of parseCreateOptions('${String(format)}', ...)`;
  requireOptions(call, options, 'options', expected);
  const { format: found } = options as { format?: unknown };
  requireArgument(found === format, { call, name: 'options.format', value: found, expected });
}

function readRawOptions(reader: OptionReader): RawOptions {
  const preallocation = reader.choice('preallocation', ['off', 'falloc', 'full'] as const) ?? 'off';
  const noCow = reader.flag('nocow');
  refuseExtentSizeHint(reader);
  reader.finish(RAW_OPTIONS);
  return { format: 'raw', preallocation, noCow };
}

function readQcow2Options(reader: OptionReader): Qcow2Options {
  const { encryption, luksHeaderBytes } = readEncryption(reader);
  const version = versionOf(reader);
  const dataFile = reader.text('data_file');
  const qcow2: NewQcow2Options = {
    version,
    clusterSize: powerOfTwo('cluster_size', reader.size('cluster_size') ?? NEW_QCOW2_DEFAULTS.clusterSize, MIN_CLUSTER, MAX_CLUSTER),
    refcountBits: powerOfTwo('refcount_bits', reader.count('refcount_bits', 'a power of two from 1 to 64') ?? 16, 1, 64),
    extendedL2: reader.flag('extended_l2'),
    lazyRefcounts: reader.flag('lazy_refcounts'),
    preallocation: reader.choice('preallocation', ['off', 'metadata', 'falloc', 'full'] as const) ?? 'off',
    compressionType: reader.choice('compression_type', ['zlib', 'zstd'] as const) ?? 'zlib',
    ...(dataFile === undefined ? {} : { dataFile: fileName('data_file', dataFile) }),
    dataFileRaw: reader.flag('data_file_raw'),
    luksHeaderBytes,
  };
  const backing = backingOf(reader);
  const noCow = reader.flag('nocow');
  refuseExtentSizeHint(reader);
  reader.finish(QCOW2_OPTIONS);
  refuseContradictions(qcow2);
  if (backing !== undefined) refuseWithBacking(qcow2);
  return { format: 'qcow2', qcow2, encryption, ...(backing === undefined ? {} : { backing }), noCow };
}

function versionOf(reader: OptionReader): 2 | 3 {
  const compat = reader.choice('compat', ['0.10', '1.1', 'v2', 'v3'] as const);
  return compat === '0.10' || compat === 'v2' ? 2 : 3;
}

function powerOfTwo(name: string, value: number, least: number, most: number): number {
  if (value >= least && value <= most && isPowerOfTwo(value)) return value;
  throw badOption(name, value, `a power of two from ${least} to ${most}`);
}

function backingOf(reader: OptionReader): BackingChoice | undefined {
  const name = reader.text('backing_file');
  const format = reader.choice('backing_fmt', ['raw', 'qcow2'] as const);
  if (name === undefined && format === undefined) return undefined;
  if (name === undefined) throw contradiction('backing_fmt', 'without backing_file', 'both or neither');
  if (format === undefined) throw contradiction('backing_file', 'without backing_fmt', 'its format beside it: backing_fmt=raw or qcow2');
  return { name: fileName('backing_file', name), format };
}

/** QEMU parses the text before a colon in the first part of a name as a protocol, and `json:` as a description. */
export function fileName(option: string, name: string): string {
  if (!/^[^/]*:/.test(name)) return name;
  throw badOption(option, name, 'a file name; write ./ in front of one that has a colon');
}

/** Version 2 has none of the later features, and some features require others. */
function refuseContradictions(options: NewQcow2Options): void {
  if (options.version === 2) refuseNewFeatures(options);
  if (options.extendedL2 && options.clusterSize < MIN_EXTENDED_L2_CLUSTER) {
    throw contradiction(
      'extended_l2',
      `on, with cluster_size=${options.clusterSize}`,
      `a cluster_size of at least ${MIN_EXTENDED_L2_CLUSTER}`,
    );
  }
  if (options.dataFileRaw && options.dataFile === undefined)
    throw contradiction('data_file_raw', 'on, without data_file', 'a data_file beside it');
}

function refuseNewFeatures(options: NewQcow2Options): void {
  const asked: readonly (readonly [name: string, isAsked: boolean, found: string])[] = [
    ['refcount_bits', options.refcountBits !== 16, String(options.refcountBits)],
    ['extended_l2', options.extendedL2, 'on'],
    ['lazy_refcounts', options.lazyRefcounts, 'on'],
    ['compression_type', options.compressionType !== 'zlib', options.compressionType],
    ['data_file', options.dataFile !== undefined, options.dataFile ?? ''],
  ];
  const refused = asked.find(([, isAsked]) => isAsked);
  if (refused === undefined) return;
  const [name, , found] = refused;
  throw contradiction(name, `${found}, with compat=0.10`, name === 'refcount_bits' ? '16, or compat=1.1' : 'compat=1.1');
}

/**
 * Throws: usage, for what an overlay cannot have: preallocated clusters would hide its backing file (extended L2 can
 * leave their subclusters unallocated), and a raw data file would have to hold what lies in the backing file.
 */
export function refuseWithBacking(options: NewQcow2Options): void {
  if (options.dataFileRaw) throw contradiction('data_file_raw', 'on, with a backing file', 'no backing file');
  if (options.preallocation === 'off' || options.extendedL2) return;
  throw contradiction('preallocation', `${options.preallocation}, with a backing file`, 'off, or extended_l2=on');
}

/** QEMU sets the hint on XFS; its cost would have to be in every figure, so plimsoll's own images have none. */
function refuseExtentSizeHint(reader: OptionReader): void {
  const hint = reader.size('extent_size_hint');
  if (hint === undefined || hint === 0) return;
  throw new PlimsollError('unsupported', 'CREATE_EXTENT_SIZE_HINT', {
    doing: 'parse -o',
    field: 'extent_size_hint',
    found: hint,
    expected: '0: images are created without a hint',
  });
}
