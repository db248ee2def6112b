/** One session, many requests: what a worker that was taken over does to one of them reaches no other. */
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { memoryDevice } from '#block';
import { ConfinedWorkers, type Outcome, PART_CREDIT, type RequestOptions, WorkerSession } from '#confined';
import { resetFfiForTests, setFfiForTests } from '../../src/host/ffi.ts';
import { ROOT } from '../support/root.ts';
import { bundleWorker } from '../support/worker-bundle.ts';

const directory = mkdtempSync(join(tmpdir(), 'plimsoll-session-'));
const CONTENT = Buffer.from('plimsoll'.repeat(100_000));
const other = Buffer.from('another image');
let worker: string;
let fd: number;
let otherFd: number;

beforeAll(async () => {
  for (const [name, bytes] of [
    ['image', CONTENT],
    ['other', other],
  ] as const)
    writeFileSync(join(directory, name), bytes);
  fd = openSync(join(directory, 'image'), 'r');
  otherFd = openSync(join(directory, 'other'), 'r');
  worker = await bundleWorker(join(ROOT, 'tests/hostile/confinement-worker.ts'), join(directory, 'worker.mjs'));
});
afterEach(() => resetFfiForTests());
afterAll(() => {
  for (const one of [fd, otherFd]) closeSync(one);
  rmSync(directory, { recursive: true, force: true });
});

function ask(session: WorkerSession, name: string, params: unknown = null, options: RequestOptions = {}): Promise<Outcome> {
  return session.exchange({ name, params }, { files: [{ fd, byteLength: CONTENT.byteLength }], ...options });
}

const WHOLE = { type: 'value', value: { byteLength: CONTENT.byteLength } };

/** Pids of the bubblewraps that this process started: each has another below it. */
function workers(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && commandLine(name).startsWith('bwrap') && commandLine(name).includes(worker) && isChild(name))
    .map(Number);
}

function isChild(pid: string): boolean {
  return readFileSync(`/proc/${pid}/status`, 'latin1').includes(`PPid:\t${process.pid}\n`);
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

describe('a session', () => {
  it('answers many requests in their order, each with the files that it was handed', async () => {
    await using session = await WorkerSession.start({ worker });
    const short = { files: [{ fd: otherFd, byteLength: other.byteLength }] };
    const device = { files: [{ device: memoryDevice(CONTENT) }] };
    const outcomes = await Promise.all([
      ask(session, 'probe-hash'),
      ask(session, 'probe-hash', null, short),
      ask(session, 'no such request'),
      ask(session, 'probe-hash', null, device),
      ask(session, 'probe-hash'),
    ]);
    expect(outcomes).toMatchObject([
      WHOLE,
      { type: 'value', value: { byteLength: other.byteLength } },
      { type: 'error', error: { code: 'WORKER_REQUEST' }, isFirst: false },
      WHOLE,
      WHOLE,
    ]);
    expect(workers()).toHaveLength(1);
  });

  it('leaves no descriptor open in the worker, nor in the client', async () => {
    await using session = await WorkerSession.start({ worker });
    const before = await ask(session, 'open descriptors');
    const links = (): string[] => readdirSync('/proc/self/fd').flatMap((name) => linkOf(name));
    const open = links().length;
    for (let count = 0; count < 50; count += 1) expect(await ask(session, 'probe-hash')).toMatchObject(WHOLE);
    expect(await ask(session, 'open descriptors')).toEqual(before);
    expect(links()).toHaveLength(open);
  });

  it('reads for the worker where descriptors cannot be sent', async () => {
    setFfiForTests(undefined);
    await using session = await WorkerSession.start({ worker });
    expect(await ask(session, 'probe-hash')).toMatchObject(WHOLE);
  });

  it('gives all parts in order to one who is slow to take them', async () => {
    await using session = await WorkerSession.start({ worker });
    const taken: unknown[] = [];
    const onPart = async (part: unknown): Promise<void> => {
      await new Promise(setImmediate);
      taken.push(part);
    };
    const count = 10 * PART_CREDIT;
    expect(await ask(session, 'parts', [count], { onPart })).toEqual({ type: 'value', value: count });
    expect(taken).toEqual(Array.from({ length: count }, (_, index) => index));
    expect(await ask(session, 'probe-hash')).toMatchObject(WHOLE);
  });

  it('ends with what the taker of parts throws', async () => {
    await using session = await WorkerSession.start({ worker });
    const error = new Error('enough');
    const onPart = (): void => {
      throw error;
    };
    expect(await ask(session, 'parts', [3], { onPart })).toMatchObject({ type: 'ended', error, inHand: true });
  });
});

describe('files that a request keeps', () => {
  const OF_MIB = CONTENT.subarray(8, 8 + 2 ** 20);

  async function readKept(session: WorkerSession): Promise<{ outcome: Outcome; parts: [unknown, Uint8Array][] }> {
    const parts: [unknown, Uint8Array][] = [];
    const onPart = (part: unknown, data: Uint8Array): void => void parts.push([part, Uint8Array.from(data)]);
    return { outcome: await session.exchange({ name: 'read the kept file', params: null }, { onPart }), parts };
  }

  it.each([
    ['a descriptor', () => ({ fd, byteLength: CONTENT.byteLength })],
    ['a device of the client', () => ({ device: memoryDevice(CONTENT) })],
  ])('are read by later requests: %s', async (_, file) => {
    await using session = await WorkerSession.start({ worker });
    expect(await session.exchange({ name: 'keep the file', params: null }, { files: [file()], keepsFiles: true })).toMatchObject({
      type: 'value',
      value: CONTENT.byteLength,
    });
    expect(await ask(session, 'probe-hash')).toMatchObject(WHOLE);
    for (let time = 0; time < 2; time += 1) {
      const { outcome, parts } = await readKept(session);
      expect(outcome).toEqual({ type: 'value', value: OF_MIB.byteLength });
      expect(parts.map(([part]) => part)).toEqual(['the first MiB from byte 8']);
      expect(Buffer.from(parts[0]?.[1] ?? []).equals(OF_MIB)).toBe(true);
    }
  });

  it('are closed where the request does not keep them', async () => {
    await using session = await WorkerSession.start({ worker });
    await session.exchange({ name: 'keep the file', params: null }, { files: [{ fd, byteLength: CONTENT.byteLength }] });
    expect((await readKept(session)).outcome).toMatchObject({ type: 'error', error: { kind: 'io' } });
    await session.exchange({ name: 'keep the file', params: null }, { files: [{ device: memoryDevice(CONTENT) }] });
    expect((await readKept(session)).outcome).toMatchObject({ type: 'ended', error: { code: 'WORKER_PROTOCOL' } });
  });
});

function linkOf(name: string): string[] {
  try {
    return [readlinkSync(`/proc/self/fd/${name}`)];
  } catch {
    return [];
  }
}

describe('a worker that was taken over in the middle of a session', () => {
  const ignored = { onPart: (): void => {} };
  it.each<[string, string, unknown, RequestOptions, string]>([
    ['sends garbage', 'garbage', null, {}, 'WORKER_PROTOCOL'],
    ["answers another request's id", 'frames', [[{ type: 'result', id: 3, value: 1 }, '']], {}, 'WORKER_PROTOCOL'],
    ['answers an earlier one again', 'frames', [[{ type: 'result', id: 1, value: 1 }, '']], {}, 'WORKER_PROTOCOL'],
    ['sends parts without credit', 'parts', [1000, 2], ignored, 'WORKER_PROTOCOL'],
    ['sends parts that are not received', 'parts', [1, 2], {}, 'WORKER_PROTOCOL'],
    ['floods', 'chatter', null, {}, 'WORKER_OUTPUT'],
    ['takes no credit', 'one part, then nothing', null, ignored, 'WORKER_TIME'],
    ['exits', 'exit', 0, {}, 'WORKER_ENDED'],
  ])('and %s: only the request in hand is lost', async (_, name, params, options, code) => {
    const limits = { wallMs: 10_000, outputBytes: 2 ** 20 };
    await using session = await WorkerSession.start({ worker, limits });
    const [before, taken, after] = await Promise.all([
      ask(session, 'probe-hash'),
      ask(session, name, params, options),
      ask(session, 'probe-hash'),
    ]);
    expect(before).toMatchObject(WHOLE);
    expect(taken).toMatchObject({ type: 'ended', error: { code }, inHand: true, isFirst: false });
    expect(after).toMatchObject({ type: 'ended', inHand: false });
  });
});

describe('workers that are replaced', () => {
  const options = { count: 1, ahead: 4, requestsPerWorker: 100 } as const;
  const file = { files: [{ device: memoryDevice(CONTENT) }] };
  const probe = { name: 'probe-hash', params: null };

  it('lose nothing when one dies between two requests', async () => {
    await using pool = new ConfinedWorkers({ ...options, worker });
    await pool.run(probe, file);
    const [pid = 0] = workers();
    process.kill(pid, 'SIGKILL');
    await expect.poll(() => existsSync(`/proc/${pid}`)).toBe(false);
    // The end of its pipes is heard after that.
    await delay(200);
    expect(await pool.run(probe, file)).toMatchObject({ byteLength: CONTENT.byteLength });
  });

  it('lose only the request that ends them', async () => {
    await using pool = new ConfinedWorkers({ ...options, worker });
    const bad = { name: 'bad pointer', params: null };
    const outcomes = await Promise.allSettled([probe, bad, probe, probe].map((request) => pool.run(request, file)));
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
    expect(outcomes[1]).toMatchObject({ reason: { code: 'WORKER_CRASHED' } });
  });

  it('take as many requests as they may, each', async () => {
    await using pool = new ConfinedWorkers({ ...options, requestsPerWorker: 2, worker });
    await Promise.all(Array.from({ length: 5 }, () => pool.run(probe, file)));
    expect(workers()).toHaveLength(1);
  });
});

describe('a client that closes in the middle', () => {
  it('gets an outcome for each request, and leaves no process behind', async () => {
    const session = await WorkerSession.start({ worker });
    const asked = [ask(session, 'spin'), ask(session, 'probe-hash')];
    await session.close();
    expect(await Promise.all(asked)).toMatchObject([
      { type: 'ended', inHand: true },
      { type: 'ended', inHand: false },
    ]);
    expect(workers()).toEqual([]);
  });

  it('by an abort ends the session of the request in hand, and of no other', async () => {
    await using session = await WorkerSession.start({ worker });
    const controller = new AbortController();
    const [first, second, third] = [
      ask(session, 'probe-hash'),
      ask(session, 'probe-hash', null, { signal: controller.signal }),
      ask(session, 'probe-hash'),
    ];
    controller.abort('no more');
    expect(await second).toMatchObject({ type: 'error', error: 'no more' });
    expect(await Promise.all([first, third])).toMatchObject([WHOLE, WHOLE]);
    const spinning = new AbortController();
    const spin = ask(session, 'spin', null, { signal: spinning.signal });
    spinning.abort('stop');
    expect(await spin).toMatchObject({ type: 'ended', error: 'stop', inHand: true });
  });
});
