import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ERRNO, type Ffi, loadFfi, resetFfiForTests, SEEK_DATA, SEEK_HOLE, setFfiForTests } from './ffi.ts';

let directory: string;
let fd: number;
let ffi: Ffi;

beforeAll(async () => {
  const loaded = await loadFfi();
  if (loaded === undefined) throw new Error('koffi does not load here: these tests need it');
  ffi = loaded;
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-ffi-'));
  fd = openSync(join(directory, 'file'), 'w+');
  ftruncateSync(fd, 2 ** 33);
  writeSync(fd, Buffer.alloc(4096, 1), 0, 4096, 2 ** 32);
});
afterAll(() => {
  closeSync(fd);
  rmSync(directory, { recursive: true });
});
afterEach(() => {
  delete process.env.PLIMSOLL_NO_FFI;
  resetFfiForTests();
});

describe('system calls', () => {
  it('seek data and holes above 4 GiB', () => {
    expect(ffi.seek(fd, 0, SEEK_DATA)).toBe(2 ** 32);
    expect(ffi.seek(fd, 2 ** 32, SEEK_HOLE)).toBe(2 ** 32 + 4096);
    expect(ffi.seek(fd, 2 ** 32 + 4096, SEEK_DATA)).toBe(-ERRNO.ENXIO);
  });

  it('return the negated errno', () => {
    expect(ffi.ioctl(fd, 0x12345678, new Uint8Array(64))).toBe(-ERRNO.ENOTTY);
    expect(ffi.seek(fd, 2 ** 40, SEEK_DATA)).toBe(-ERRNO.ENXIO);
    expect(ffi.fragmentSize(1_000_000)).toBe(-9); // EBADF
  });

  it('report the errno of an asynchronous call', async () => {
    expect(await ffi.fallocate(fd, 0, 0, 0)).toBe(-ERRNO.EINVAL);
  });

  it.each([1.5, -1, Number.NaN, 2 ** 60])('refuse %d before the kernel sees it', (value) => {
    expect(() => ffi.seek(fd, value, SEEK_DATA)).toThrow('expected an integer');
    expect(() => ffi.ioctl(value, 0, new Uint8Array(1))).toThrow('expected an integer');
  });

  it('refuse a path with a NUL byte', () => {
    expect(() => ffi.renameNoReplace(Buffer.from('a\0b'), Buffer.from('c'))).toThrow('a\\x00b');
  });
});

describe('loadFfi()', () => {
  it('gives the same calls each time', async () => {
    expect(await loadFfi()).toBe(await loadFfi());
  });

  it('gives undefined when the environment forbids it', async () => {
    resetFfiForTests();
    process.env.PLIMSOLL_NO_FFI = '1';
    expect(await loadFfi()).toBeUndefined();
  });

  it('gives the calls that a test substitutes', async () => {
    setFfiForTests(undefined);
    expect(await loadFfi()).toBeUndefined();
  });
});
