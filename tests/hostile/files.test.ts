/** Files that are no images, or not for long: special files, tiny ones, and those that change while they are read. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { memoryDevice, type ReadableDevice, readableDevice } from '#block';
import { readCensus, readQcow2Header } from '#formats';
import { examineImage } from '#sandbox';
import { PlimsollError } from '#base';
import { aQcow2, COPIED } from '../support/qcow2-builder.ts';
import { readsSince, readsSoFar } from '../support/read-cost.ts';

const ROOT = join(import.meta.dirname, '..', '..');
let directory: string;
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'plimsoll-files-')));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));
const at = (name: string): string => join(directory, name);

describe('an object that is not a regular file', () => {
  it.each([
    ['a fifo', (): void => void execFileSync('mkfifo', [at('x')])],
    ['a directory', (): void => mkdirSync(at('x'))],
    ['a device', (): void => symlinkSync('/dev/zero', at('x'))],
    ['a terminal', (): void => symlinkSync('/dev/tty', at('x'))],
  ])('%s is refused without being opened', async (_what, make) => {
    make();
    const report = await examineImage(at('x'));
    expect(report).toMatchObject({ length: null, commitment: null, error: { kind: 'refused', code: 'NOT_A_REGULAR_FILE' } });
  });

  it.each([
    ['nothing', 'x', 'not-found'],
    ['a name too long', 'x'.repeat(300), 'io'],
    ['a NUL', 'a\0b', 'refused'],
    ['a path through a file', 'file/x', 'not-found'],
  ])('%s is an error', async (_what, name, kind) => {
    writeFileSync(at('file'), '');
    expect((await examineImage(at(name))).error?.kind).toBe(kind);
  });

  it('a link to itself is an error', async () => {
    symlinkSync('x', at('x'));
    expect((await examineImage(at('x'))).error).toMatchObject({ kind: 'io', code: 'IO_ELOOP' });
  });
});

describe('a file of a few bytes', () => {
  it.each([0, 1, 4, 511, 512, 513])('%i bytes: raw, as a guess', async (byteLength) => {
    writeFileSync(at('x'), Buffer.alloc(byteLength, 0x41));
    const report = await examineImage(at('x'));
    expect(report).toMatchObject({ format: 'raw', formatSource: 'guess', length: byteLength, capacity: Math.ceil(byteLength / 512) * 512 });
    expect(report.error).toBeUndefined();
  });

  it.each([0, 1, 3, 4, 71, 511])('%i bytes declared qcow2: corrupt', async (byteLength) => {
    writeFileSync(at('x'), aQcow2().bytes().subarray(0, byteLength));
    const { error } = await examineImage(at('x'), { format: 'qcow2' });
    expect(error).toMatchObject({
      kind: 'corrupt',
      code: byteLength < 4 ? 'QCOW2_MAGIC' : byteLength < 104 ? 'STRUCT_TRUNCATED' : 'QCOW2_L1_OFFSET',
    });
  });

  it('a length from 2^53 on is refused', async () => {
    const path = `/dev/shm/plimsoll-${process.pid}-8-eib`;
    writeFileSync(path, aQcow2().bytes());
    try {
      execFileSync('truncate', ['-s', String(2n ** 63n - 4096n), path]);
      expect((await examineImage(path)).error).toMatchObject({ kind: 'unsupported', code: 'FILE_TOO_LONG' });
    } finally {
      rmSync(path);
    }
  });
});

describe('an image that shrinks after its header was read', () => {
  const image = aQcow2({ clusterBits: 12, l1Size: 2048, capacity: 6 * 2 ** 20 });
  for (let index = 0; index < 3; index += 1) image.withL2(index, [COPIED + BigInt(image.allocate())]);
  const snapshotL1 = image.allocate(1);
  image.withSnapshots([{ l1TableOffset: snapshotL1, l1Size: 512 }]);
  const bytes = image.bytes();

  /** Reads from offset `from` on see a file that ends at `end`. */
  function shrinking(end: number): ReadableDevice {
    const whole = memoryDevice(bytes);
    return readableDevice({
      byteLength: bytes.byteLength,
      read: (target, offset) => whole.read(target.subarray(0, Math.max(0, end - offset)), offset),
    });
  }

  it('is complete before that', async () => {
    const device = memoryDevice(bytes);
    await expect(readCensus(device, await readQcow2Header(device))).resolves.toMatchObject({ inPlaceCount: 3 });
  });

  it('is corrupt wherever it ends, and never counts too little', async () => {
    const header = await readQcow2Header(memoryDevice(bytes));
    for (let end = 4096; end < bytes.byteLength - 4096; end += 1999) {
      const error: unknown = await readCensus(shrinking(end), header).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error, `end ${end}`).toBeInstanceOf(PlimsollError);
      expect(error).toMatchObject({ kind: 'corrupt' });
    }
  });

  it('and one that is rewritten all the time gives a report or an error of a named kind, never a bug', async () => {
    writeFileSync(at('x'), bytes);
    const over = new AbortController();
    const writer = (async (): Promise<void> => {
      for (let round = 0; !over.signal.aborted; round += 1) {
        truncateSync(at('x'), (round * 7919) % bytes.byteLength);
        writeFileSync(at('x'), bytes.subarray(0, (round * 104729) % bytes.byteLength), { flag: 'r+' });
        await new Promise(setImmediate);
      }
    })();
    for (let round = 0; round < 200; round += 1) {
      const { error } = await examineImage(at('x'));
      expect(error?.kind, error?.message).not.toBe('bug');
    }
    over.abort();
    await writer;
  });
});

describe('a damaged image', () => {
  async function readBytes(): Promise<number> {
    const before = readsSoFar();
    const report = await examineImage(at('x'));
    expect(report.error?.kind, report.error?.message).toBe('corrupt');
    return readsSince(before).bytes;
  }

  it('is read again while it has a writer, which may have moved a table meanwhile, with a limit', async () => {
    const image = aQcow2();
    writeFileSync(at('x'), image.bytes());
    const writer = spawn('qemu-io', ['-f', 'qcow2', at('x')], { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(writer.stdout, 'data');
    writeFileSync(at('x'), image.withU64(image.refcountTable, 513).bytes(), { flag: 'r+' });
    const withWriter = await readBytes();
    writer.kill('SIGKILL');
    await once(writer, 'exit');
    const alone = await readBytes();
    expect(withWriter).toBeGreaterThan(2 * alone);
    expect(withWriter).toBeLessThan(4 * alone);
  });
});

describe('system calls', () => {
  it('open only the image and what the policy permits, read-only', () => {
    mkdirSync(at('images'));
    aQcow2().write(at('images/base.qcow2'));
    aQcow2().write(at('secret.qcow2'));
    aQcow2().withBackingFile('base.qcow2', 'qcow2').write(at('images/good.qcow2'));
    aQcow2().withBackingFile('../secret.qcow2', 'qcow2').write(at('images/bad.qcow2'));
    aQcow2().withBackingFile('json:{"file.filename":"base.qcow2"}', 'qcow2').write(at('images/json.qcow2'));
    const opened = (name: string): string[] =>
      traced(at(`images/${name}`))
        .filter(({ flags }) => !flags.includes('O_PATH'))
        .map(({ path }) => path);
    expect(opened('good.qcow2')).toEqual([at('images/good.qcow2'), at('images/base.qcow2')]);
    expect(opened('bad.qcow2')).toEqual([at('images/bad.qcow2')]);
    expect(opened('json.qcow2')).toEqual([at('images/json.qcow2')]);
    for (const name of ['good', 'bad', 'json']) {
      for (const { flags } of traced(at(`images/${name}.qcow2`))) expect(flags).not.toMatch(/O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND/);
    }
  });

  /** Every successful opening below the test's directory, by the place it led to. */
  function traced(image: string): { path: string; flags: string }[] {
    const words = [
      '-f',
      '-y',
      '-qq',
      '-s',
      '4096',
      '-e',
      'trace=open,openat,openat2,creat',
      process.execPath,
      '--conditions=source',
      '--import',
      'tsx',
      join(ROOT, 'tests/hostile/examine-child.ts'),
      image,
    ];
    const { stderr, status, error } = spawnSync('strace', words, { encoding: 'utf8', cwd: ROOT, maxBuffer: 2 ** 28 });
    if (error !== undefined) throw new Error('Cannot run strace; install the Debian package strace', { cause: error });
    expect(status, stderr.slice(-500)).toBe(0);
    return stderr.split('\n').flatMap((line) => {
      const match =
        /\bopen(?:at2?)?\(.*?, (?:\{flags=)?([A-Z_|]+).*\) = \d+<([^>]*)>$/.exec(line) ?? /\bcreat\(.*(\)) = \d+<([^>]*)>$/.exec(line);
      return match?.[2]?.startsWith(directory) === true
        ? [{ path: match[2], flags: match[1] === ')' ? 'O_CREAT' : (match[1] as string) }]
        : [];
    });
  }
});
