/** Fills images at the same time, each by a QEMU process of its own, and gathers what the guests were told. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { HANG_MS } from '../support/hang.ts';
import { imageInfo, type Opening, openingArguments } from '../support/qemu.ts';
import { FILLS } from './fills.ts';

export interface FilledImage {
  readonly opening: Opening;
  /** Of FILLS. */
  readonly fill: string;
  readonly cache: 'writeback' | 'none';
  /** By the protocol NBD, through a qemu-storage-daemon that has the image open. */
  readonly exported?: boolean;
}

/** What qemu-io said that it should not have said: nothing, when every write was accepted. */
export async function fillAll(images: readonly FilledImage[]): Promise<string[]> {
  const said = await Promise.all(images.map(fillOne));
  return said.flatMap((text, index) =>
    text === '' ? [] : [`${images[index]?.opening.path ?? ''} (${images[index]?.fill ?? ''}): ${text}`],
  );
}

async function fillOne({ opening, fill, cache, exported = false }: FilledImage): Promise<string> {
  const { capacity, clusterSize, extendedL2 } = await imageInfo(opening.path, opening.format);
  const geometry = { capacity, clusterSize: clusterSize || 64 * 1024, extendedL2 };
  const sessions = FILLS.find(({ name }) => name === fill)?.sessions(geometry);
  if (sessions === undefined) throw new Error(`No such fill: ${fill}`);
  if (!exported) return inSessions(sessions, ['-t', cache, '-d', 'ignore', ...openingArguments(opening)], dirname(opening.path));
  const server = await exportImage(opening, cache);
  try {
    return await inSessions(
      sessions,
      ['--image-opts', `driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=${server.socket},file.export=disk`],
      dirname(opening.path),
    );
  } finally {
    await server.end();
  }
}

async function inSessions(sessions: readonly (readonly string[])[], words: readonly string[], cwd: string): Promise<string> {
  const said: string[] = [];
  for (const commands of sessions) said.push(await qemuIoSays(words, withRests(commands, sessions.length), cwd));
  return said.filter((text) => text !== '').join(' | ');
}

/** Pauses of a guest in milliseconds, so that others can write in between and observers see it. */
const REST_MS = 400;
const RESTS = 12;

function withRests(commands: readonly string[], sessionCount: number): string[] {
  const every = Math.max(1, Math.ceil((sessionCount * commands.length) / RESTS));
  return commands.flatMap((command, index) => (index % every === every - 1 ? [command, `sleep ${REST_MS}`] : [command]));
}

function qemuIoSays(words: readonly string[], commands: readonly string[], cwd: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('qemu-io', words, { cwd, stdio: 'pipe' });
    let output = '';
    const hear = (chunk: Buffer): void => {
      output += chunk.toString('latin1');
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.on('error', reject);
    child.on('close', (code) => {
      const text = output.replaceAll('qemu-io> ', '').trim();
      resolve(code === 0 ? text : `exit ${code ?? 'by a signal'} ${text}`);
    });
    child.stdin.on('error', () => {});
    child.stdin.end(`${[...commands, 'flush'].join('\n')}\n`);
  });
}

interface Exported {
  readonly socket: string;
  end(): Promise<void>;
}

async function exportImage({ path, format }: Opening, cache: FilledImage['cache']): Promise<Exported> {
  const socket = `/tmp/${process.pid}-${Math.random().toString(36).slice(2)}.nbd`;
  const direct = cache === 'none' ? ',cache.direct=on' : '';
  const child = spawn(
    'qemu-storage-daemon',
    [
      ...['--blockdev', `driver=file,node-name=file,filename=${path}${direct}`],
      ...['--blockdev', `driver=${format},node-name=disk,file=file${direct}`],
      ...['--nbd-server', `addr.type=unix,addr.path=${socket}`],
      ...['--export', 'type=nbd,id=e,node-name=disk,name=disk,writable=on'],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString('latin1')));
  const ended = new Promise((resolve) => child.on('close', resolve));
  for (const deadline = Date.now() + HANG_MS; !existsSync(socket); ) {
    if (Date.now() > deadline || child.exitCode !== null) throw new Error(`qemu-storage-daemon does not serve ${path}: ${errors}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    socket,
    end: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
