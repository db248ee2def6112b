/** Confinement: a compromised worker reaches nothing outside, ends, and the caller learns which limit it exceeded. */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, closeSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PlimsollError } from '#base';
import { memoryDevice } from '#block';
import { type ConfinedOptions, runConfined } from '#sandbox';
import { ROOT } from '../support/root.ts';
import { callNames, callsOfReadyWorker, callsOutwards } from '../support/strace.ts';
import { bundleWorker } from '../support/worker-bundle.ts';

const MiB = 2 ** 20;
const directory = mkdtempSync(join(tmpdir(), 'plimsoll-confinement-'));
const image = join(directory, 'image');
const CONTENT = Buffer.from(Array.from({ length: 3 * MiB + 17 }, (_, index) => (index * 31) % 251));
let worker: string;
let fd: number;

beforeAll(async () => {
  chmodSync(directory, 0o755);
  writeFileSync(image, CONTENT);
  fd = openSync(image, 'r');
  worker = await bundleWorker(join(ROOT, 'tests/hostile/confinement-worker.ts'), join(directory, 'worker.mjs'));
});

afterAll(() => {
  closeSync(fd);
  rmSync(directory, { recursive: true, force: true });
});

function ask(name: string, params: unknown = null, options: ConfinedOptions = {}): Promise<unknown> {
  return runConfined({ name, params }, { worker, files: [{ fd, byteLength: CONTENT.byteLength }], ...options });
}

/** The error of a request that must not succeed. */
async function errorOf(asked: Promise<unknown>): Promise<PlimsollError> {
  const outcome: unknown = await asked.then(
    (value) => `an answer: ${JSON.stringify(value)}`,
    (error: unknown) => error,
  );
  expect(outcome).toBeInstanceOf(PlimsollError);
  return outcome as PlimsollError;
}

/** Processes with `word` in their command line. */
function processesWith(word: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => commandLine(pid).includes(word)).map(Number);
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

function openDescriptors(): string[] {
  return readdirSync('/proc/self/fd').flatMap((name) => {
    try {
      return [readlinkSync(`/proc/self/fd/${name}`)];
    } catch {
      return [];
    }
  });
}

describe('a legitimate request', () => {
  it('reads the whole image and returns the answer', async () => {
    let low = 1;
    let high = 0;
    for (const byte of CONTENT) {
      low = (low + byte) % 65_521;
      high = (high + low) % 65_521;
    }
    expect(await ask('probe-hash')).toEqual({ byteLength: CONTENT.byteLength, adler32: high * 65_536 + low });
  });

  it('runs beside others', async () => {
    const answers = await Promise.all([ask('probe-hash'), ask('probe-hash'), ask('probe-hash')]);
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
  });

  it('can compile, inflate, derive keys and use memory under the second filter, but not compile text', async () => {
    const done = (await ask('work')) as Record<string, unknown>;
    expect(done).toMatchObject({ wasm: 42, wasmMemory: 65 * MiB, inflated: 1e6, key: 16, asyncRead: 8, memory: 300 * MiB });
    expect(done['eval']).toMatch(/EvalError/);
  });

  it('that is not registered is a bug', async () => {
    expect(await errorOf(ask('no such request'))).toMatchObject({ kind: 'bug', code: 'WORKER_REQUEST' });
  });
});

describe('under the second filter', () => {
  it('no file can be read, listed, examined or written', async () => {
    const outcomes = (await ask('files')) as Record<string, string>;
    expect(Object.keys(outcomes).length).toBeGreaterThan(10);
    expect(new Set(Object.values(outcomes))).toEqual(new Set(['EPERM']));
  });

  it('no network address can be reached', async () => {
    expect(await ask('network')).toEqual({ tcp: 'EPERM', udp: 'EPERM' });
  });

  it('no program can be run', async () => {
    expect(await ask('run')).toEqual({ node: 'EPERM', shell: 'EPERM' });
    expect(await ask('thread')).toBe('ERR_WORKER_INIT_FAILED');
    expect(await ask('fork bomb')).toBe(0);
  });

  it('no process can be killed', async () => {
    expect(await ask('kill all', [1, process.pid, -1])).toEqual({ 1: 'EPERM', [process.pid]: 'EPERM', '-1': 'EPERM' });
  });

  /** Name, number (asm/unistd_64.h), arguments. IMAGE is its descriptor. */
  const IMAGE = 'image';
  const CALLS: [string, number, (number | string)[]][] = [
    ['open', 2, []],
    ['stat', 4, []],
    ['lseek on the image', 8, [IMAGE, 0, 0]],
    ['shared memory', 9, [0, 4096, 3, 0x21, -1, 0]],
    ['memory that grows down', 9, [0, 4096, 3, 0x122, -1, 0]],
    ['huge pages', 9, [0, 4096, 3, 0x40022, -1, 0]],
    ['mremap', 25, [0, 4096, 8192, 1]],
    ['O_DIRECT on the image', 72, [IMAGE, 4, 0x4000]],
    ['ioctl', 16, [IMAGE]],
    ['pwrite to the image', 18, [IMAGE]],
    ['dup', 32, [IMAGE]],
    ['socket, unix', 41, [1, 1, 0]],
    ['socket, IPv4', 41, [2, 2, 0]],
    ['socket, IPv6', 41, [10, 1, 0]],
    ['socket, netlink', 41, [16, 3, 0]],
    ['socket, packet', 41, [17, 3, 0]],
    ['socket, vsock', 41, [40, 1, 0]],
    ['sendmsg', 46, [3]],
    ['recvmsg', 47, [3]],
    ['recvmsg on the image', 47, [IMAGE]],
    ['sendmsg on the descriptor channel', 46, [4]],
    ['socketpair', 53, [1, 1, 0]],
    ['clone', 56, [17]],
    ['vfork', 58, []],
    ['execve', 59, []],
    ['kill', 62, [1, 9]],
    ['lock on the image', 72, [IMAGE, 37, 0]],
    ['lease on the image', 72, [IMAGE, 1024, 0]],
    ['flock on the image', 73, [IMAGE, 2]],
    ['fsync of the image', 74, [IMAGE]],
    ['ftruncate of the image', 77, [IMAGE, 0]],
    ['ptrace', 101, [16, 1]],
    ['prctl', 157, [IMAGE, 1]],
    ['setrlimit', 160, [2]],
    ['mount', 165, []],
    ['openat', 257, [-100]],
    ['unshare', 272, [0x10000000]],
    ['perf_event_open', 298, []],
    ['prlimit64', 302, [0, 2]],
    ['setns', 308, [IMAGE, 0]],
    ['process_vm_readv', 310, [1]],
    ['seccomp', 317, [1]],
    ['memfd_create', 319, []],
    ['bpf', 321, []],
    ['userfaultfd', 323, []],
    ['copy_file_range', 326, [IMAGE]],
    ['statx', 332, [IMAGE]],
    ['io_uring_setup', 425, [8]],
    ['pidfd_open', 434, [1]],
    ['clone3', 435, []],
    ['openat2', 437, [-100]],
    ['landlock_create_ruleset', 444, []],
    ['open of x32', 0x40000002, []],
  ];

  it('these system calls fail with EPERM', async () => {
    expect(await ask('system calls', CALLS)).toEqual(Object.fromEntries(CALLS.map(([name]) => [name, 'EPERM'])));
  });

  it('the image cannot be written, and the request continues', async () => {
    const calls = [
      ['write to the image', 1, [IMAGE, 0, 0]],
      ['getpid', 39, []],
    ];
    expect(await ask('system calls', calls)).toEqual({ 'write to the image': 'EBADF', getpid: 'done: 2' });
  });

  it('the root was empty and read-only even before, without network and namespaces', async () => {
    const outcomes = (await ask('before the seal')) as Record<string, string>;
    expect(outcomes).toMatchObject({
      'read /etc/passwd': 'ENOENT',
      'stat /etc/passwd': 'ENOENT',
      'lstat /root': 'ENOENT',
      'list /proc': 'ENOENT',
      'open /dev/kmsg': 'ENOENT',
      'open the image anew': 'ENOENT',
      // EROFS, except that open(2) is not asked to create a file: the first filter has no such call for the others.
      'write in /': 'EROFS',
      'write over itself': 'EROFS',
      'make a directory': 'EPERM',
      'remove its node': 'EPERM',
      'make a socket': 'EPERM',
      'make a namespace': 'EPERM',
      kill: 'EPERM',
    });
    expect(outcomes['list /']).toMatch(/^done: \["lib64","plimsoll"\]$/);
  });
});

describe('a worker that exceeds its limits', () => {
  it.each([
    ['spin', { wallMs: 700 }, 'WORKER_TIME'],
    ['sleep', { wallMs: 700 }, 'WORKER_TIME'],
    ['spin', { cpuSeconds: 1 }, 'WORKER_CPU'],
    ['buffers', {}, 'WORKER_MEMORY'],
    ['small buffers', { memoryBytes: 256 * MiB }, 'WORKER_MEMORY'],
    ['heap', { memoryBytes: 256 * MiB }, 'WORKER_MEMORY'],
    ['chatter', { outputBytes: MiB }, 'WORKER_OUTPUT'],
    ['long answer', { outputBytes: MiB }, 'WORKER_OUTPUT'],
    ['too long an answer', {}, 'WORKER_OUTPUT'],
  ] as const)('%s within %j: %s', async (name, limits, code) => {
    const error = await errorOf(ask(name, null, { limits, image: 'disk.qcow2' }));
    expect(error, error.message).toMatchObject({ kind: 'over-budget', code });
  });

  it('cannot keep memory by making it read-only, which RLIMIT_DATA no longer counts', async () => {
    const pieces = (await ask('hoard read-only', 64 * MiB, { limits: { memoryBytes: 256 * MiB } })) as number;
    // 256 MiB, and the 512 MiB of address space that V8 may reserve.
    expect(pieces).toBeLessThanOrEqual(12);
  });

  it('names too many files', async () => {
    const onFileRequest = () => Promise.resolve({ file: { device: memoryDevice(CONTENT) }, close: () => Promise.resolve() });
    const names = Array.from({ length: 65 }, (_, index) => `base-${index}`);
    expect(await errorOf(ask('ask for files', names, { onFileRequest }))).toMatchObject({ kind: 'over-budget', code: 'WORKER_FILES' });
  });
});

describe('a worker that exits', () => {
  it.each([
    ['abort', null, 'WORKER_CRASHED', /SIGABRT/],
    ['bad pointer', null, 'WORKER_CRASHED', /SIGSEGV/],
    ['throw', null, 'WORKER_CRASHED', /exit code 1: Error: a bug/],
    ['exit', 7, 'WORKER_CRASHED', /exit code 7/],
    ['exit', 0, 'WORKER_ENDED', /without an answer/],
    ['a frame begun', null, 'WORKER_ENDED', /without an answer/],
  ] as const)('by %s %j is a %s', async (name, params, code, message) => {
    const error = await errorOf(ask(name, params));
    expect(error).toMatchObject({ kind: 'bug', code, message: expect.stringMatching(message) as string });
    expect(error.message).not.toContain('\u001b');
  });

  it('because another process killed it: io', async () => {
    const asked = ask('sleep', null, { limits: { cpuSeconds: 3601 } });
    const victims = await inside('"cpuSeconds":3601');
    process.kill(Math.max(...victims), 'SIGKILL');
    expect(await errorOf(asked)).toMatchObject({ kind: 'io', code: 'WORKER_KILLED' });
  });
});

/** The processes of a worker, once its Node has started. */
async function inside(word: string): Promise<number[]> {
  for (;;) {
    const found = processesWith(word).filter((pid) => commandLine(String(pid)).startsWith('/plimsoll/node'));
    if (found.length > 0) return found;
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
}

describe('a worker that violates the protocol', () => {
  const ready = { type: 'ready' };
  const request = { type: 'file-request', id: 1, role: 'backing' };
  it.each([
    ['garbage', null],
    ['frames', [['invalid JSON', '']]],
    ['frames', [['null', '']]],
    ['frames', [['{"type":1}', '']]],
    ['frames', [[ready, '']]],
    ['frames', [[`{"type":"result","id":1,"value":${'['.repeat(17)}${']'.repeat(17)}}`, '']]],
    ['many values', null],
    ['deep values', null],
    ['frames', [[{ type: 'constructor', id: 1 }, '']]],
    ['frames', [[{ type: 'error' }, '']]],
    ['frames', [[{ type: 'error', id: 1, error: { kind: 'great', code: 'X', message: '' } }, '']]],
    ['frames', [[{ type: 'error', id: 1, error: { kind: 'io', code: '\u001b[2J', message: '' } }, '']]],
    ['frames', [[{ type: 'read', id: 1, owner: 1, file: 0, offset: 0, length: 1 }, '']]],
    ['frames', [[{ type: 'file-request', id: 1, role: 7 }, '']]],
    [
      'frames',
      [
        [request, 'a'],
        [request, 'b'],
      ],
    ],
  ])('%s %j', async (name, params) => {
    const onFileRequest = (): Promise<never> => new Promise(() => {});
    expect(await errorOf(ask(name, params, { onFileRequest }))).toMatchObject({ kind: 'bug', code: 'WORKER_PROTOCOL' });
  });

  it.each([
    [{ offset: -1, length: 1 }],
    [{ offset: 0, length: 2 ** 30 }],
    [{ offset: 0.5, length: 1 }],
    [{ offset: '0', length: 1 }],
    [{ offset: 0, length: 1, file: 1 }],
    [{ offset: 0, length: 1, file: '__proto__' }],
  ])('reads %j of a file it was granted', async (read) => {
    const onFileRequest = () => Promise.resolve({ file: { device: memoryDevice(CONTENT) }, close: () => Promise.resolve() });
    // The second frame arrives when the first is answered: `frames` does not listen, so the answer is sent long before.
    const asked = ask(
      'frames',
      [
        [request, 'a'],
        [{ type: 'read', id: 1, owner: 1, file: 0, ...read }, ''],
      ],
      { onFileRequest },
    );
    expect(await errorOf(asked)).toMatchObject({ kind: 'bug', code: 'WORKER_PROTOCOL' });
  });

  it('gives an answer that JSON cannot represent', async () => {
    expect(await errorOf(ask('an answer that is no JSON'))).toMatchObject({ kind: 'bug', code: 'INTERNAL' });
  });

  it.each([
    ['ends at once', 'process.exit(0)', 'WORKER_ENDED'],
    ['fails to load', "import './nowhere.mjs'", 'WORKER_CRASHED'],
    ['says garbage', "import fs from 'node:fs'; fs.writeSync(3, 'x'.repeat(99)); setInterval(() => {}, 99)", 'WORKER_PROTOCOL'],
    [
      'answers unasked',
      `import fs from 'node:fs'; fs.writeSync(3, '\\x11\\0\\0\\0\\0\\0\\0\\0{"type":"result"}'); setInterval(() => {}, 99)`,
      'WORKER_PROTOCOL',
    ],
  ])('%s before its second filter is in place', async (_, text, code) => {
    const script = join(directory, 'bad.mjs');
    writeFileSync(script, text);
    expect(await errorOf(ask('probe-hash', null, { worker: script }))).toMatchObject({ kind: 'bug', code });
  });
});

describe('the open file of a worker', () => {
  it('is a description of its own: flags and offset that it sets do not reach the caller', async () => {
    const info = (): string => readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1');
    const before = info();
    await ask('read on', null);
    expect(info()).toBe(before);
  });
});

describe('a name found in the image', () => {
  it('is refused without a policy', async () => {
    expect(await ask('ask for files', ['/etc/passwd'])).toMatchObject([{ kind: 'refused', code: 'REFERENCE_REFUSED' }]);
  });

  it('is decided by the policy, which reads permitted files and closes them', async () => {
    let closed = 0;
    const heard: unknown[] = [];
    const answer = await ask('ask for files', ['base\u00ff', '/etc/passwd'], {
      onFileRequest: ({ name, role }) => {
        heard.push([Buffer.from(name).toString('latin1'), role]);
        if (name[0] === 0x2f) throw new PlimsollError('refused', 'REFERENCE_OUTSIDE', { doing: 'follow a reference of the image' });
        const close = (): Promise<void> => Promise.resolve(void (closed += 1));
        return Promise.resolve({ file: { device: memoryDevice(CONTENT) }, close });
      },
    });
    expect(answer).toMatchObject([
      { byteLength: CONTENT.byteLength, read: CONTENT.byteLength - 1, text: CONTENT.toString('latin1', 1, 9) },
      { kind: 'refused', code: 'REFERENCE_OUTSIDE' },
    ]);
    expect(heard).toEqual([
      ['base\u00ff', 'backing'],
      ['/etc/passwd', 'backing'],
    ]);
    expect(closed).toBe(1);
  });
});

describe('an abort', () => {
  it('ends the worker, and leaves no process, descriptor or file behind', async () => {
    const files = readdirSync(directory);
    const descriptors = openDescriptors().length;
    const controller = new AbortController();
    const asked = ask('spin', null, { signal: controller.signal, limits: { cpuSeconds: 3602 } });
    await inside('"cpuSeconds":3602');
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(asked).rejects.toBe(reason);
    expect(processesWith('"cpuSeconds":3602')).toEqual([]);
    expect(openDescriptors().length).toBeLessThanOrEqual(descriptors);
    expect(readdirSync(directory)).toEqual(files);
  });

  it('before the start starts nothing', async () => {
    await expect(ask('spin', null, { signal: AbortSignal.abort('no') })).rejects.toBe('no');
  });
});

/** A client in a process of its own, run by `words`. */
function clientUnder(
  words: readonly string[],
  name: string,
  params: unknown = null,
  limits: object = {},
): { value?: unknown; error?: unknown } {
  const client = [process.execPath, '--conditions=source', '--import', 'tsx', join(ROOT, 'tests/hostile/confinement-client.ts')];
  const line = [...words, ...client, worker, image, name, JSON.stringify(params), JSON.stringify(limits)];
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
  const { stdout, stderr } = spawnSync('env', line, { cwd: ROOT, env, encoding: 'utf8', maxBuffer: 64 * MiB });
  if (stdout === '') throw new Error(`${line.join(' ')} said nothing: ${stderr.slice(0, 1000)}`);
  return JSON.parse(stdout) as { value?: unknown; error?: unknown };
}

describe('confinement of other callers', () => {
  const isRoot = process.getuid?.() === 0;
  const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'env', 'HOME=/'];

  it.runIf(isRoot)('holds for an unprivileged user as for root', () => {
    expect(clientUnder(asNobody, 'probe-hash')).toMatchObject({ value: { byteLength: CONTENT.byteLength } });
    expect(new Set(Object.values(clientUnder(asNobody, 'files').value as object))).toEqual(new Set(['EPERM']));
    expect(clientUnder(asNobody, 'heap', null, { memoryBytes: 256 * MiB })).toMatchObject({ error: { code: 'WORKER_MEMORY' } });
    expect(clientUnder(asNobody, 'spin', null, { cpuSeconds: 1 })).toMatchObject({ error: { code: 'WORKER_CPU' } });
    expect(clientUnder(asNobody, 'spin', null, { wallMs: 700 })).toMatchObject({ error: { code: 'WORKER_TIME' } });
  });

  it('ends with a client that is killed', async () => {
    const limits = JSON.stringify({ cpuSeconds: 3603 });
    const words = ['--conditions=source', '--import', 'tsx', 'tests/hostile/confinement-client.ts', worker, image, 'sleep', 'null', limits];
    const client = spawn(process.execPath, words, { cwd: ROOT, stdio: 'ignore' });
    await inside('"cpuSeconds":3603');
    client.kill('SIGKILL');
    await expect.poll(() => processesWith('"cpuSeconds":3603')).toEqual([]);
  });
});

describe('without bubblewrap', () => {
  it('bubblewrap is missing: the error names the package to install and the flag to use', async () => {
    const { PATH } = process.env;
    process.env['PATH'] = '/nowhere';
    try {
      const error = await errorOf(ask('probe-hash'));
      expect(error).toMatchObject({ kind: 'unsupported', code: 'SANDBOX_UNAVAILABLE' });
      expect(error.message).toMatch(/bubblewrap is not installed.*apt-get install bubblewrap.*--unconfined/);
    } finally {
      process.env['PATH'] = PATH;
    }
  });

  it('user namespaces are forbidden', () => {
    const without = ['bwrap', '--dev-bind', '/', '/', '--unshare-user', '--uid', '65534', '--gid', '65534', '--disable-userns'];
    expect(clientUnder(without, 'probe-hash')).toMatchObject({
      error: { kind: 'unsupported', code: 'SANDBOX_UNAVAILABLE', message: expect.stringMatching(/bwrap: .*--unconfined/) as string },
    });
  });

  it('the worker is missing', async () => {
    expect(await errorOf(ask('probe-hash', null, { worker: join(directory, 'nowhere.mjs') }))).toMatchObject({
      code: 'SANDBOX_UNAVAILABLE',
    });
  });

  it('the second filter fails or is unavailable: a typed error, and no request is read', async () => {
    const entry = join(directory, 'incomplete.ts');
    const seal = join(ROOT, 'src/host/seal.ts');
    const frames = join(ROOT, 'src/confined/frames.ts');
    writeFileSync(
      entry,
      `import { writeSync } from 'node:fs';
       import { sealProcess } from '${seal}';
       import { encodeFrame } from '${frames}';
       const filter = FILTER;
       await sealProcess({ filter, cpuSeconds: 9, memoryBytes: 2 ** 30 }).catch((error) => writeSync(3, encodeFrame({ type: 'error', error })));`,
    );
    const text = readFileSync(entry, 'utf8');
    const allowAll = 'Uint8Array.of(6, 0, 0, 0, 0, 0, 0xff, 0x7f)';
    for (const [filter, code] of [
      [allowAll, 'SANDBOX_INCOMPLETE'],
      ['new Uint8Array(8)', 'SANDBOX_UNAVAILABLE'],
      ['new Uint8Array(0)', 'SANDBOX_UNAVAILABLE'],
    ] as const) {
      writeFileSync(entry, text.replace('FILTER', filter));
      const script = await bundleWorker(entry, join(directory, 'unsealed.mjs'));
      expect(await errorOf(ask('probe-hash', null, { worker: script }))).toMatchObject({ kind: 'unsupported', code });
    }
  });
});

describe('seen from outside, by strace', () => {
  it('the worker opens, connects, runs and creates nothing once it is ready', () => {
    const trace = join(directory, 'trace');
    expect(clientUnder(['strace', '-f', '-qq', '-o', trace], 'probe-hash')).toHaveProperty('value');
    const after = callsOfReadyWorker(readFileSync(trace, 'utf8'));
    expect(after.length).toBeGreaterThan(10);
    expect(callsOutwards(after)).toEqual([]);
    expect(callNames(after)).toContain('pread64');
  });
});
