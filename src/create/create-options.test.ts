import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PlimsollError } from '#base';
import { type NewImageFormat, parseCreateOptions } from './create-options.ts';

let directory: string;

beforeAll(() => {
  directory = mkdtempSync('/dev/shm/plimsoll-options-');
  writeFileSync(join(directory, 'base.raw'), new Uint8Array(4096));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function errorOf(format: NewImageFormat, list: string): PlimsollError {
  try {
    parseCreateOptions(format, [list]);
  } catch (error) {
    if (error instanceof PlimsollError) return error;
    throw error;
  }
  throw new Error(`${list} was taken`);
}

/** Whether qemu-img accepts the options for an image of 1 MiB. */
function qemuTakes(format: NewImageFormat, list: string): boolean {
  rmSync(join(directory, 'x'), { force: true });
  rmSync(join(directory, 'd.raw'), { force: true });
  try {
    execFileSync('qemu-img', ['create', '-q', '-f', format, '-o', list, 'x', '1M'], { cwd: directory, stdio: 'pipe' });
    return true;
  } catch {
    return false;
  }
}

/** Options that both refuse, with the expected parts of the error: option, found, expected. */
const REFUSED: readonly (readonly [format: NewImageFormat, list: string, code: string, field: string | undefined])[] = [
  ['qcow2', 'cluster_size=256', 'OPTION_VALUE', 'cluster_size'],
  ['qcow2', 'cluster_size=4M', 'OPTION_VALUE', 'cluster_size'],
  ['qcow2', 'cluster_size=65537', 'OPTION_VALUE', 'cluster_size'],
  ['qcow2', 'cluster_size=abc', 'SIZE_SYNTAX', undefined],
  ['qcow2', 'cluster_size=64kb', 'SIZE_AMBIGUOUS', undefined],
  ['qcow2', 'refcount_bits=3', 'OPTION_VALUE', 'refcount_bits'],
  ['qcow2', 'refcount_bits=0', 'OPTION_VALUE', 'refcount_bits'],
  ['qcow2', 'refcount_bits=128', 'OPTION_VALUE', 'refcount_bits'],
  ['qcow2', 'refcount_bits=x', 'OPTION_VALUE', 'refcount_bits'],
  ['qcow2', 'refcount_bits=8,compat=0.10', 'OPTION_CONFLICT', 'refcount_bits'],
  ['qcow2', 'compat=0.11', 'OPTION_VALUE', 'compat'],
  ['qcow2', 'extended_l2=on,cluster_size=8k', 'OPTION_CONFLICT', 'extended_l2'],
  ['qcow2', 'extended_l2=on,compat=0.10', 'OPTION_CONFLICT', 'extended_l2'],
  ['qcow2', 'extended_l2=maybe', 'OPTION_VALUE', 'extended_l2'],
  ['qcow2', 'lazy_refcounts=on,compat=0.10', 'OPTION_CONFLICT', 'lazy_refcounts'],
  ['qcow2', 'preallocation=some', 'OPTION_VALUE', 'preallocation'],
  ['qcow2', 'compression_type=lz4', 'OPTION_VALUE', 'compression_type'],
  ['qcow2', 'compression_type=zstd,compat=v2', 'OPTION_CONFLICT', 'compression_type'],
  ['qcow2', 'data_file_raw=on', 'OPTION_CONFLICT', 'data_file_raw'],
  ['qcow2', 'data_file=d.raw,compat=0.10', 'OPTION_CONFLICT', 'data_file'],
  ['qcow2', 'data_file=', 'OPTION_VALUE', 'data_file'],
  ['qcow2', 'backing_fmt=raw', 'OPTION_CONFLICT', 'backing_fmt'],
  ['qcow2', 'backing_file=base.raw', 'OPTION_CONFLICT', 'backing_file'],
  ['qcow2', 'backing_file=base.raw,backing_fmt=raw,preallocation=metadata', 'OPTION_CONFLICT', 'preallocation'],
  ['qcow2', 'backing_file=base.raw,backing_fmt=raw,preallocation=falloc', 'OPTION_CONFLICT', 'preallocation'],
  ['qcow2', 'backing_file=base.raw,backing_fmt=raw,preallocation=full', 'OPTION_CONFLICT', 'preallocation'],
  ['qcow2', 'backing_file=base.raw,backing_fmt=raw,data_file=d.raw,data_file_raw=on', 'OPTION_CONFLICT', 'data_file_raw'],
  ['qcow2', 'encrypt.format=foo', 'OPTION_VALUE', 'encrypt.format'],
  ['qcow2', 'encrypt.cipher-alg=aes-128', 'OPTION_VALUE', 'encrypt.cipher-alg'],
  ['qcow2', 'encrypt.key-secret=s', 'OPTION_VALUE', 'encrypt.key-secret'],
  ['qcow2', 'nonsense=1', 'OPTION_UNKNOWN', undefined],
  ['qcow2', 'size=2M', 'OPTION_VALUE', 'size'],
  ['raw', 'preallocation=metadata', 'OPTION_VALUE', 'preallocation'],
  ['raw', 'cluster_size=64k', 'OPTION_UNKNOWN', undefined],
  ['raw', 'nocow=perhaps', 'OPTION_VALUE', 'nocow'],
];

const TAKEN: readonly (readonly [format: NewImageFormat, list: string])[] = [
  ['qcow2', 'cluster_size=512'],
  ['qcow2', 'cluster_size=2M'],
  ['qcow2', 'cluster_size=64k,cluster_size=4k'],
  ['qcow2', 'compat=v2'],
  ['qcow2', 'compat=0.10,refcount_bits=16'],
  ['qcow2', 'extended_l2'],
  ['qcow2', 'extended_l2=yes,cluster_size=16k'],
  ['qcow2', 'lazy_refcounts=on,refcount_bits=1'],
  ['qcow2', 'compression_type=zstd'],
  ['qcow2', 'nocow=on,extent_size_hint=0'],
  ['qcow2', 'data_file=d.raw,data_file_raw=on'],
  ['qcow2', 'backing_file=base.raw,backing_fmt=raw'],
  ['qcow2', 'backing_file=base.raw,backing_fmt=raw,preallocation=full,extended_l2=on'],
  ['qcow2', 'backing_file=base.raw,backing_fmt=raw,data_file=d.raw'],
  ['raw', 'preallocation=full,nocow=off'],
];

describe('parseCreateOptions()', () => {
  it.each(REFUSED)('refuses %s %s, as qemu-img does', (format, list, code, field) => {
    const error = errorOf(format, list);
    expect(error.kind).toBe('usage');
    expect(error.code).toBe(code);
    expect(error.where.field).toBe(field);
    expect(error.where.found).toBeDefined();
    expect(error.where.expected).toBeDefined();
    expect(qemuTakes(format, list)).toBe(false);
  });

  it.each(TAKEN)('accepts %s "%s", as qemu-img does', (format, list) => {
    expect(() => parseCreateOptions(format, [list])).not.toThrow();
    expect(qemuTakes(format, list)).toBe(true);
  });

  it.each(['', 'compression_type=zstd,'])('accepts "%s", which qemu-img does not: a comma at the end', (list) => {
    expect(() => parseCreateOptions('qcow2', [list])).not.toThrow();
  });

  it.each([',cluster_size=4k', '=4k'])('refuses a pair without a name: %s', (list) => {
    expect(errorOf('qcow2', list)).toMatchObject({ kind: 'usage', code: 'OPTION_SYNTAX' });
  });

  it('reads a doubled comma as a comma of the name, over several -o', () => {
    const options = parseCreateOptions('qcow2', ['data_file=a,,b.raw,cluster_size=4k', 'cluster_size=8k']);
    expect(options).toMatchObject({ qcow2: { dataFile: 'a,b.raw', clusterSize: 8192 } });
  });

  it.each(['backing_file=nbd:host:1,backing_fmt=raw', 'backing_file=json:{},backing_fmt=raw', 'data_file=nbd://host/x'])(
    'refuses a name with a protocol: %s',
    (list) => expect(errorOf('qcow2', list)).toMatchObject({ kind: 'usage', code: 'OPTION_VALUE' }),
  );

  it('refuses an extent size hint by name', () => {
    expect(errorOf('raw', 'extent_size_hint=1M')).toMatchObject({ kind: 'unsupported', code: 'CREATE_EXTENT_SIZE_HINT' });
  });
});
