/** Which listeners are believed, on real sockets of real users; as root, since only root can take the place of another user. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { resetFfiForTests, setFfiForTests } from './ffi.ts';
import { type SocketTrust, trustOfSocket } from './socket-trust.ts';

const STRANGER = 65_534;
const places: string[] = [];
const listeners: ChildProcess[] = [];
afterEach(() => {
  resetFfiForTests();
  for (const one of listeners.splice(0)) one.kill('SIGKILL');
  for (const one of places.splice(0)) rmSync(one, { recursive: true, force: true });
});

/** A directory below `parent` that belongs to `owner`. */
function place(parent: string, owner: number, mode = 0o755): string {
  const path = mkdtempSync(join(parent, 'plimsoll-trust-'));
  places.push(path);
  chmodSync(path, mode);
  chownSync(path, owner, owner);
  return path;
}

/** A program of `user` that listens at `path`. */
async function listen(path: string, user: number): Promise<string> {
  const program = `require('node:net').createServer(() => {}).listen(${JSON.stringify(path)}, () => console.log('listening'))`;
  const words = ['--reuid', String(user), '--clear-groups', process.execPath, '-e', program];
  const listener = spawn('setpriv', words, { stdio: ['ignore', 'pipe', 'ignore'], cwd: '/' });
  listeners.push(listener);
  // The name exists before a process listens there.
  await once(listener.stdout, 'data');
  return path;
}

async function trust(path: string): Promise<SocketTrust> {
  const socket = connect(path);
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  const found = await trustOfSocket(socket, path);
  socket.destroy();
  return found;
}

/** By the kernel's word, and by the path alone. */
async function both(path: string): Promise<boolean[]> {
  const byPeer = await trust(path);
  setFfiForTests(undefined);
  const byPath = await trust(path);
  resetFfiForTests();
  return [byPeer.isTrusted, byPath.isTrusted];
}

describe.runIf(process.geteuid?.() === 0)('a listener', () => {
  it("of the caller is trusted, in the caller's own directory", async () => {
    expect(await both(await listen(join(place(tmpdir(), 0, 0o700), 's'), 0))).toEqual([true, true]);
  });

  it("of another user is not, in that user's directory, and the message names the user", async () => {
    const path = await listen(join(place(tmpdir(), STRANGER), 's'), STRANGER);
    expect(await both(path)).toEqual([false, false]);
    expect((await trust(path)).found).toContain(String(STRANGER));
  });

  it('of another user is not, below a home directory that root created', async () => {
    expect(await both(await listen(join(place('/home', STRANGER), 's'), STRANGER))).toEqual([false, false]);
  });

  it('of the owner of a runtime directory is trusted, as systemd creates one below /run', async () => {
    expect(await both(await listen(join(place('/run', STRANGER, 0o750), 's'), STRANGER))).toEqual([true, true]);
  });

  it('of the owner of a directory deeper below /run is not: /run/user holds one for each user', async () => {
    const users = place('/run', 0);
    mkdirSync(join(users, 'own'));
    chownSync(join(users, 'own'), STRANGER, STRANGER);
    expect(await both(await listen(join(users, 'own', 's'), STRANGER))).toEqual([false, false]);
  });

  it('of a third user in a runtime directory is not', async () => {
    const runtime = place('/run', STRANGER, 0o755);
    const path = await listen(join(runtime, 's'), STRANGER);
    chownSync(path, STRANGER - 1, STRANGER - 1);
    chownSync(runtime, STRANGER - 1, STRANGER - 1);
    expect((await trust(path)).isTrusted).toBe(false);
  });

  it("in a directory that others may write is trusted only with the kernel's confirmation", async () => {
    expect(await both(await listen(join(place(tmpdir(), 0, 0o777), 's'), 0))).toEqual([true, false]);
  });

  it('in a sticky directory is trusted by its path, since only its owner can replace it', async () => {
    expect(await both(await listen(join(place(tmpdir(), 0, 0o1777), 's'), 0))).toEqual([true, true]);
  });

  it('at a link to a socket of another user is not', async () => {
    const theirs = await listen(join(place(tmpdir(), STRANGER), 's'), STRANGER);
    const own = join(place(tmpdir(), 0), 'link');
    const { symlinkSync } = await import('node:fs');
    symlinkSync(theirs, own);
    expect([await both(own), dirname(own) === dirname(theirs)]).toEqual([[false, false], false]);
  });
});
