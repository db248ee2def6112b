/** Programs that have an image open, started by a test and ended by it: QEMU in all its forms, and programs without locks. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HANG_MS } from './hang.ts';

export interface Holder extends AsyncDisposable {
  readonly pid: number;
  /** Ends it and waits until it is gone. May be called twice. */
  end(): Promise<void>;
}

/** A QEMU machine that never runs its guest, with `words` for its disks; it is there when its monitor answers. */
export function aMachine(name: string, uuid: string, ...words: readonly string[]): Promise<Holder> {
  const bare = ['-M', 'pc', '-m', '16', '-accel', 'tcg', '-S', '-nodefaults', '-display', 'none', '-monitor', 'stdio'];
  return startUntil('qemu-system-x86_64', [...bare, '-name', name, '-uuid', uuid, ...words], '(qemu)');
}

/** qemu-nbd, which serves `image` on a socket of its own; its options in front. */
export async function aServer(format: 'raw' | 'qcow2', image: string, ...options: readonly string[]): Promise<Holder> {
  return withSocket(async (socket) => {
    const holder = await startUntilFile('qemu-nbd', ['-k', socket, '-t', '-f', format, ...options, image], socket);
    return within(nbdGreeting(socket), holder, 'qemu-nbd');
  });
}

/** Waits for a server's greeting: qemu-nbd creates its socket before it opens the image, and greets clients afterwards. */
export async function nbdGreeting(socket: string): Promise<void> {
  const connection = connect(socket);
  try {
    await once(connection, 'data');
  } finally {
    connection.destroy();
  }
}

/** qemu-storage-daemon with one export of `image`. */
export function aStorageDaemon(format: 'raw' | 'qcow2', image: string, writable: boolean): Promise<Holder> {
  return withSocket((socket) => {
    const nodes = [`driver=file,node-name=f,filename=${image},read-only=${writable ? 'off' : 'on'}`];
    nodes.push(`driver=${format},node-name=d,file=f,read-only=${writable ? 'off' : 'on'}`);
    const words = [...nodes.flatMap((node) => ['--blockdev', node]), '--nbd-server', `addr.type=unix,addr.path=${socket}.nbd`];
    words.push('--export', `type=nbd,id=e,node-name=d,writable=${writable ? 'on' : 'off'}`);
    return startUntilFile('qemu-storage-daemon', [...words, '--pidfile', socket], socket);
  });
}

/** qemu-io with an image of some MiB open, waiting for commands. */
export function qemuIoOn(...words: readonly string[]): Promise<Holder> {
  return startUntil('qemu-io', words, ' MiB', 'length\n');
}

/** A shell that has `path` open as its descriptor 3, by a redirection such as `>>`, and knows of no locks. */
export function aShell(redirection: '<' | '>>' | '<>', path: string): Promise<Holder> {
  return startUntil('sh', ['-c', `exec 3${redirection}"$1"; echo ready; read line`, 'sh', path], 'ready');
}

/** `program`, once it has printed `text`; ended by the end of its standard input or, failing that, by a signal. */
export async function startUntil(program: string, words: readonly string[], text: string, input = ''): Promise<Holder> {
  const child = spawn(program, words, { stdio: 'pipe' });
  const holder = holderOf(child);
  let said = '';
  let complained = '';
  child.stderr.on('data', (bytes: Buffer) => (complained += bytes.toString()));
  child.stdin.on('error', () => {});
  child.stdin.write(input);
  const ready = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`${program} ${words.join(' ')} ended: ${said} ${complained}`)));
    child.stdout.on('data', (bytes: Buffer) => {
      said += bytes.toString();
      if (said.includes(text)) resolve();
    });
  });
  return within(ready, holder, program);
}

async function startUntilFile(program: string, words: readonly string[], file: string): Promise<Holder> {
  const child = spawn(program, words, { stdio: ['ignore', 'ignore', 'pipe'] });
  const holder = holderOf(child);
  let complained = '';
  child.stderr.on('data', (bytes: Buffer) => (complained += bytes.toString()));
  let ended: Error | undefined;
  child.once('error', (error) => (ended = error));
  child.once('exit', () => (ended = new Error(`${program} ${words.join(' ')} ended: ${complained}`)));
  const ready = (async () => {
    while (!existsSync(file)) {
      if (ended !== undefined) throw ended;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  return within(ready, holder, program);
}

async function within(ready: Promise<void>, holder: Holder, program: string): Promise<Holder> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${program} was not ready within ${HANG_MS} ms`)), HANG_MS);
  });
  try {
    await Promise.race([ready, late]);
    return holder;
  } catch (error) {
    await holder.end();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function holderOf(child: ChildProcess): Holder {
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const end = async (): Promise<void> => {
    child.kill('SIGKILL');
    await gone;
  };
  return { pid: child.pid ?? 0, end, [Symbol.asyncDispose]: end };
}

/** A socket in a directory that goes away with its holder. */
async function withSocket(begin: (socket: string) => Promise<Holder>): Promise<Holder> {
  const directory = mkdtempSync(join(tmpdir(), 'plimsoll-holder-'));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  try {
    const holder = await begin(join(directory, 'socket'));
    const end = async (): Promise<void> => {
      await holder.end();
      remove();
    };
    return { pid: holder.pid, end, [Symbol.asyncDispose]: end };
  } catch (error) {
    remove();
    throw error;
  }
}
