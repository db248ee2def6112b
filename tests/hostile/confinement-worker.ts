/**
 * A compromised worker: handlers that attempt everything that is forbidden. Bundled by confinement.test.ts, never shipped. koffi
 * stays loaded under the second filter, so that they can make any system call.
 */
import { spawnSync } from 'node:child_process';
import dgram from 'node:dgram';
import fs from 'node:fs';
import net from 'node:net';
import { pbkdf2 } from 'node:crypto';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { deflateRawSync, inflateRaw } from 'node:zlib';
import koffi from 'koffi';
import { type ReadableDevice, readUpTo } from '#block';
import { type Handler, type HandlerContext, serve } from '#confined';
import { HANDLERS } from '#sandbox';

const libc = koffi.load(null);
const syscall = libc.func('int64_t syscall(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t)');
const fill = libc.func('int64_t memset(int64_t, int, size_t)');
const forkNow = libc.func('int fork()');

/** The name of the errno that `attempt` gets, or its result if it succeeds. */
function outcome(attempt: () => unknown): string {
  try {
    return `done: ${JSON.stringify(attempt())?.slice(0, 100)}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

/** Of the first device. */
function imageFd({ devices: [device] }: HandlerContext): number {
  return (device as unknown as { readonly fd: number }).fd;
}

function raw(number: number, words: readonly number[]): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = words;
  const returned = syscall(number, a, b, c, d, e, f) as number;
  return returned < 0 ? errnoName(koffi.errno()) : `done: ${returned}`;
}

function errnoName(errno: number): string {
  return Object.entries(koffi.os.errno).find(([, value]) => value === errno)?.[0] ?? String(errno);
}

const FILE_ATTEMPTS: Record<string, () => unknown> = {
  'read /etc/passwd': () => fs.readFileSync('/etc/passwd'),
  'read a file of the host': () => fs.readFileSync('/work'),
  'list the home directory': () => fs.readdirSync('/root'),
  'stat /etc/passwd': () => fs.statSync('/etc/passwd'),
  'lstat /root': () => fs.lstatSync('/root'),
  'list /': () => fs.readdirSync('/'),
  'list /proc': () => fs.readdirSync('/proc'),
  'read /proc/1/environ': () => fs.readFileSync('/proc/1/environ'),
  'open /dev/kmsg': () => fs.openSync('/dev/kmsg', 'r'),
  'write in /': () => fs.writeFileSync('/x', ''),
  'write in /tmp': () => fs.writeFileSync('/tmp/x', ''),
  'write over itself': () => fs.writeFileSync('/plimsoll/script.mjs', ''),
  'make a directory': () => fs.mkdirSync('/plimsoll/d'),
  'remove its node': () => fs.unlinkSync('/plimsoll/node'),
  'open the image anew': () => fs.openSync('/proc/self/fd/4', 'r+'),
};

function tryFiles(): Record<string, string> {
  return Object.fromEntries(Object.entries(FILE_ATTEMPTS).map(([name, attempt]) => [name, outcome(attempt)]));
}

/** TypeScript declares it only together with the browser. */
interface Wasm {
  instantiate(
    code: Uint8Array,
  ): Promise<{ instance: { exports: { f(): number; m: { grow(pages: number): void; readonly buffer: ArrayBuffer } } } }>;
}
const wasm = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;

/** The legitimate needs of a parser under the second filter: compilers, the thread pool, much memory. */
async function work(_params: unknown, context: HandlerContext): Promise<Record<string, unknown>> {
  // (module (memory (export "m") 16 2048) (func (export "f") (result i32) i32.const 42))
  const code = Buffer.from('0061736d010000000105016000017f030201000505010110801007090201660000016d02000a06010400412a0b', 'hex');
  const { instance } = await wasm.instantiate(code);
  const { exports } = instance;
  exports.m.grow(1024);
  let hot = 0;
  for (let count = 0; count < 5e6; count += 1) hot = (hot * 31 + count) % 1_000_003;
  const piece = Buffer.alloc(8);
  return {
    wasm: exports.f(),
    wasmMemory: exports.m.buffer.byteLength,
    hot,
    inflated: (await promisify(inflateRaw)(deflateRawSync(Buffer.alloc(1e6)))).byteLength,
    key: (await promisify(pbkdf2)('a', 'b', 1000, 16, 'sha256')).byteLength,
    asyncRead: await new Promise((resolve) => {
      fs.read(imageFd(context), piece, 0, 8, 1, (_, count) => resolve(count));
    }),
    memory: Buffer.alloc(300 * 2 ** 20, 1).byteLength,
    eval: outcome(() => Reflect.construct(Function, ['return 1'])),
  };
}

/** Before the second filter: what the jail alone, with its empty root and its first filter, permits. */
const beforeSeal = { ...tryFiles(), 'make a socket': raw(41, [2, 1, 0]), 'make a namespace': raw(56, [0x10000000]), kill: raw(62, [1, 9]) };

function connect(): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(80, '127.0.0.1');
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    socket.on('connect', () => resolve('done'));
  });
}

function sendDatagram(): Promise<string> {
  return new Promise((resolve) => {
    const socket = dgram.createSocket('udp4');
    const tell = (error: NodeJS.ErrnoException | null): void => resolve(error?.code ?? 'done');
    socket.on('error', tell);
    socket.send('x', 53, '127.0.0.1', tell);
  });
}

function startThread(): Promise<string> {
  return new Promise((resolve) => {
    try {
      const worker = new Worker('while (true);', { eval: true });
      worker.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
      worker.on('online', () => resolve('done'));
    } catch (error) {
      resolve((error as NodeJS.ErrnoException).code ?? String(error));
    }
  });
}

function runError(program: string, words: readonly string[]): string | undefined {
  const error: NodeJS.ErrnoException | undefined = spawnSync(program, words).error;
  return error?.code;
}

function neverAgain(): Promise<never> {
  return new Promise(() => setInterval(() => {}, 1000));
}

function say(json: unknown, data = ''): void {
  const text = typeof json === 'string' ? json : JSON.stringify(json);
  const header = Buffer.alloc(8);
  header.writeUInt32LE(Buffer.byteLength(text), 0);
  header.writeUInt32LE(data.length, 4);
  fs.writeSync(3, Buffer.concat([header, Buffer.from(text), Buffer.from(data)]));
}

const ATTACKS: Record<string, Handler> = {
  'before the seal': () => Promise.resolve(beforeSeal),
  work,
  files: () => Promise.resolve(tryFiles()),
  network: async () => ({ tcp: await connect(), udp: await sendDatagram() }),
  thread: startThread,
  'system calls': (params, context) => {
    const calls = params as [string, number, (number | 'image')[]][];
    const call = (number: number, words: (number | 'image')[]): string =>
      raw(
        number,
        words.map((word) => (word === 'image' ? imageFd(context) : word)),
      );
    return Promise.resolve(Object.fromEntries(calls.map(([name, number, words]) => [name, call(number, words)])));
  },
  run: () =>
    Promise.resolve({
      node: runError('/plimsoll/node', ['-e', '0']),
      shell: runError('/bin/sh', ['-c', 'true']),
    }),
  'fork bomb': () => {
    let made = 0;
    for (let attempt = 0; attempt < 10_000; attempt += 1) if ((forkNow() as number) >= 0) made += 1;
    return Promise.resolve(made);
  },
  'kill all': (params) =>
    Promise.resolve(Object.fromEntries((params as number[]).map((pid) => [String(pid), outcome(() => process.kill(pid, 'SIGKILL'))]))),
  buffers: async () => {
    const held: Buffer[] = [];
    for (let gibibytes = 0; gibibytes < 10; gibibytes += 1) held.push(Buffer.alloc(2 ** 30, 1));
    return held.length;
  },
  heap: async () => {
    const held: unknown[] = [];
    for (let count = 0; count < 2e9; count += 1) held.push({ count, text: `x${count}` });
    return held.length;
  },
  'hoard read-only': (params) => {
    const length = Number(params);
    let pieces = 0;
    for (; pieces < 64; pieces += 1) {
      const address = syscall(9, 0, length, 3, 0x22, -1, 0) as number;
      if (address < 0) break;
      fill(address, 0x41, length);
      syscall(10, address, length, 1, 0, 0, 0);
    }
    return Promise.resolve(pieces);
  },
  // read(2), which moves the offset that a description has.
  'read on': (_params, context) => Promise.resolve(fs.readSync(imageFd(context), Buffer.alloc(4096), 0, 4096, null)),
  'many values': () => {
    say(`{"type":"result","id":1,"value":[${'{},'.repeat(10 ** 6)}{}]}`);
    return neverAgain();
  },
  'deep values': () => {
    say(`{"type":"result","id":1,"value":${'{"a":'.repeat(500_000)}1${'}'.repeat(500_000)}}`);
    return neverAgain();
  },
  'small buffers': async () => {
    const held: Buffer[] = [];
    for (let count = 0; count < 10 * 2 ** 20; count += 1) held.push(Buffer.alloc(1024, 1));
    return held.length;
  },
  spin: () => {
    for (;;) if (Math.random() > 2) return Promise.resolve('never');
  },
  sleep: neverAgain,
  chatter: () => {
    for (;;) fs.writeSync(2, 'x'.repeat(65_536));
  },
  'long answer': () => Promise.resolve('x'.repeat(2 ** 21)),
  'too long an answer': () => Promise.resolve('x'.repeat(33 * 2 ** 20)),
  'an answer that is no JSON': () => Promise.resolve({ big: 1n }),
  abort: () => process.abort(),
  exit: (code) => process.exit(code as number),
  throw: () => {
    setImmediate(() => {
      throw new Error('a bug\u001b[2J');
    });
    return neverAgain();
  },
  'bad pointer': () => Promise.resolve(koffi.decode(8n, 'int')),
  garbage: () => {
    fs.writeSync(3, Buffer.alloc(4096, 0xff));
    return neverAgain();
  },
  frames: (params) => {
    for (const [json, data] of params as [unknown, string][]) say(json, data);
    return neverAgain();
  },
  'a frame begun': () => {
    fs.writeSync(3, Buffer.from([100, 0, 0, 0, 0, 0, 0, 0, 0x7b]));
    process.exit(0);
  },
  // Parts as fast as the client takes them; with the id of a request, without waiting for credit.
  parts: async (params, { sendPart }) => {
    const [count, id] = params as [number, number | undefined];
    for (let index = 0; index < count; index += 1) {
      if (id === undefined) sendPart(index);
      else say({ type: 'part', id, value: index });
    }
    return count;
  },
  'keep the file': (_params, { devices: [device] }) => {
    kept = device;
    return Promise.resolve(device?.byteLength);
  },
  'read the kept file': async (_params, { sendPart }) => {
    const bytes = kept === undefined ? undefined : await readUpTo(kept, 8, 2 ** 20);
    sendPart('the first MiB from byte 8', bytes);
    return bytes?.byteLength;
  },
  'one part, then nothing': (_params, { sendPart }) => {
    sendPart(0);
    return neverAgain();
  },
  'open descriptors': () =>
    Promise.resolve(Array.from({ length: 256 }, (_, fd) => fd).filter((fd) => outcome(() => fs.fstatSync(fd)) !== 'EBADF')),
  'ask for files': async (params, { requestFile }) => {
    const answers: unknown[] = [];
    for (const name of params as string[]) {
      try {
        const { device } = await requestFile(Buffer.from(name, 'latin1'), 'backing');
        const bytes = await readUpTo(device, 1, 5 * 2 ** 20);
        answers.push({ byteLength: device.byteLength, read: bytes.byteLength, text: Buffer.from(bytes).toString('latin1', 0, 8) });
      } catch (error) {
        answers.push(error);
      }
    }
    return answers;
  },
};

let kept: ReadableDevice | undefined;

await serve(new Map([...HANDLERS, ...Object.entries(ATTACKS)]));
