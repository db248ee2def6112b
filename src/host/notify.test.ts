import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ERRNO, loadFfi, resetFfiForTests, setFfiForTests } from './ffi.ts';
import { notifyManager, pingWatchdog } from './notify.ts';

/** A manager that prints each datagram as JSON, after a line that says it listens. */
const LISTENER = `
import json, socket, sys
name = sys.argv[1]
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind('\\0' + name[1:] if name.startswith('@') else name)
print('listening', flush=True)
while True: print(json.dumps(manager.recv(65536).decode()), flush=True)
`;

let directory: string;
let listeners: ChildProcessByStdio<null, Readable, null>[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-notify-'));
  listeners = [];
});
afterEach(() => {
  for (const child of listeners) child.kill('SIGKILL');
  vi.unstubAllEnvs();
  resetFfiForTests();
  rmSync(directory, { recursive: true });
});

interface Listener {
  /** What came until `count` datagrams were there. */
  heard(count: number): Promise<string[]>;
}

async function listenAt(name: string): Promise<Listener> {
  const child = spawn('python3', ['-c', LISTENER, name], { stdio: ['ignore', 'pipe', 'inherit'] });
  listeners.push(child);
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  const lines = async (count: number): Promise<string[]> => {
    while (text.split('\n').length <= count) await once(child.stdout, 'data');
    return text.split('\n').slice(0, -1);
  };
  await lines(1);
  return { heard: async (count) => (await lines(count + 1)).slice(1).map((line) => JSON.parse(line) as string) };
}

/** Abstract names have no directory of their own. */
const abstractName = (): string => `@${directory}/notify`;

describe('notifyManager()', () => {
  it.each([
    ['a socket with a path', () => join(directory, 'notify')],
    ['an abstract socket', abstractName],
  ])('sends one datagram for each state to %s', async (_, nameOf) => {
    const listener = await listenAt(nameOf());
    vi.stubEnv('NOTIFY_SOCKET', nameOf());
    expect(await notifyManager('READY=1\nSTATUS=watching 3 stores: ü')).toBe(true);
    expect(await notifyManager('STOPPING=1')).toBe(true);
    expect(await listener.heard(2)).toEqual(['READY=1\nSTATUS=watching 3 stores: ü', 'STOPPING=1']);
  });

  it.each([join('/', 'notify'), '@notify'])('sends it by systemd-notify without koffi: %s', async (name) => {
    const place = name.startsWith('@') ? abstractName() : join(directory, name);
    const listener = await listenAt(place);
    vi.stubEnv('NOTIFY_SOCKET', place);
    setFfiForTests(undefined);
    expect(await notifyManager('READY=1\nSTATUS=watching')).toBe(true);
    // systemd-notify may send a second datagram, to learn that the first was read.
    expect((await listener.heard(1))[0]).toMatch(/^READY=1\nSTATUS=watching\n?$/);
  });

  it.each([undefined, '', '/', '@', 'vsock:2:1234', 'relative'])('is false without a manager: NOTIFY_SOCKET=%s', async (name) => {
    vi.stubEnv('NOTIFY_SOCKET', name);
    expect(await notifyManager('READY=1')).toBe(false);
  });

  it.each([undefined, 'koffi'])('is false when the manager has exited (%s)', async (koffi) => {
    if (koffi === undefined) setFfiForTests(undefined);
    vi.stubEnv('NOTIFY_SOCKET', join(directory, 'nobody'));
    expect(await notifyManager('READY=1')).toBe(false);
    vi.stubEnv('NOTIFY_SOCKET', `/${'x'.repeat(200)}`);
    expect(await notifyManager('READY=1')).toBe(false);
  });

  it('is false with neither koffi nor systemd-notify', async () => {
    await listenAt(join(directory, 'notify'));
    vi.stubEnv('NOTIFY_SOCKET', join(directory, 'notify'));
    vi.stubEnv('PATH', directory);
    setFfiForTests(undefined);
    expect(await notifyManager('READY=1')).toBe(false);
  });

  it('leaves no descriptor open', async () => {
    vi.stubEnv('NOTIFY_SOCKET', join(directory, 'nobody'));
    await notifyManager('READY=1');
    const before = readdirSync('/proc/self/fd').length;
    for (let round = 0; round < 20; round += 1) await notifyManager('READY=1');
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });

  it('retries while the queue of the manager is full, with a limit', async () => {
    const ffi = await loadFfi();
    if (ffi === undefined) throw new Error('koffi does not load here: this test needs it');
    vi.stubEnv('NOTIFY_SOCKET', join(directory, 'notify'));
    let calls = 0;
    setFfiForTests({ ...ffi, sendDatagram: () => ((calls += 1) < 3 ? -ERRNO.EAGAIN : 7) });
    expect([await notifyManager('READY=1'), calls]).toEqual([true, 3]);
    setFfiForTests({ ...ffi, sendDatagram: () => -ERRNO.EAGAIN });
    expect(await notifyManager('READY=1')).toBe(false);
  });
});

describe('pingWatchdog()', () => {
  it('pings the manager, twice in each interval', async () => {
    const listener = await listenAt(join(directory, 'notify'));
    vi.stubEnv('NOTIFY_SOCKET', join(directory, 'notify'));
    vi.stubEnv('WATCHDOG_USEC', '100000');
    vi.stubEnv('WATCHDOG_PID', String(process.pid));
    const begun = Date.now();
    const stop = pingWatchdog();
    const heard = await listener.heard(3);
    stop();
    expect(heard.slice(0, 3)).toEqual(['WATCHDOG=1', 'WATCHDOG=1', 'WATCHDOG=1']);
    expect(Date.now() - begun).toBeGreaterThanOrEqual(140);
  });

  it.each([
    ['it is not requested', {}],
    ['the time is nonsense', { WATCHDOG_USEC: 'soon' }],
    ['another process is meant', { WATCHDOG_USEC: '4000', WATCHDOG_PID: '1' }],
  ])('is silent where %s', async (_, env) => {
    const sent = vi.fn<() => number>(() => 1);
    const ffi = await loadFfi();
    if (ffi === undefined) throw new Error('koffi does not load here: this test needs it');
    setFfiForTests({ ...ffi, sendDatagram: sent });
    vi.stubEnv('NOTIFY_SOCKET', join(directory, 'notify'));
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
    const stop = pingWatchdog();
    await new Promise((resolve) => setTimeout(resolve, 30));
    stop();
    expect(sent).not.toHaveBeenCalled();
  });
});
