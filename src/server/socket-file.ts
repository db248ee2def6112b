/** The Unix socket as a file: created with the right permissions, taken over from a daemon that died, never from a running one. */
import { chmod, lstat, mkdir, rm, stat } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { asPlimsollError, PlimsollError } from '#base';

/** Write permission on the socket is full access: for its owner and its group. */
const SOCKET_MODE = 0o660;
const DIRECTORY_MODE = 0o750;
/** The longest name that sun_path holds. */
const MAX_PATH_BYTES = 107;
const ASK_MS = 1000;

/**
 * Makes `server` listen on `path`.
 *
 * Throws: conflict, SOCKET_IN_USE, when another daemon answers there; refused, SOCKET_NO_SOCKET, when something else lies
 * there, SOCKET_DIRECTORY_UNSAFE; usage, SOCKET_PATH_LONG; io.
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  const doing = 'listen on the socket';
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw new PlimsollError('usage', 'SOCKET_PATH_LONG', {
      doing,
      image: path,
      found: `a path of ${Buffer.byteLength(path)} bytes`,
      expected: `at most ${MAX_PATH_BYTES}`,
    });
  }
  try {
    await mkdir(dirname(path), { recursive: true, mode: DIRECTORY_MODE });
    await refuseOpenDirectory(dirname(path), doing);
    await removeStale(path, doing);
    await listen(server, path);
    await chmod(path, SOCKET_MODE);
  } catch (thrown) {
    throw asPlimsollError(thrown, doing, path);
  }
}

/** Where every user may rename and remove entries, any user could replace the socket and answer in its place. */
async function refuseOpenDirectory(directory: string, doing: string): Promise<void> {
  const mode = ((await stat(directory)).mode % 0o10000).toString(8).padStart(4, '0');
  // The digits: sticky bit (odd), owner, group, others (2: may write).
  if (!/[2367]$/.test(mode) || /^[1357]/.test(mode)) return;
  throw new PlimsollError('refused', 'SOCKET_DIRECTORY_UNSAFE', {
    doing,
    image: directory,
    field: 'mode',
    found: mode,
    expected: 'a directory in which others may not replace the socket',
  });
}

async function removeStale(path: string, doing: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new PlimsollError('refused', 'SOCKET_NO_SOCKET', {
      doing,
      image: path,
      found: 'exists and is not a socket',
      expected: 'a socket, or an unused path',
    });
  }
  if (await isAnswered(path)) {
    throw new PlimsollError('conflict', 'SOCKET_IN_USE', {
      doing,
      image: path,
      found: 'a daemon is already listening',
      expected: 'an unused socket (stop that daemon, or choose another --socket)',
    });
  }
  await rm(path, { force: true });
}

/** Only what certainly has no listener is stale: when in doubt it is not. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(ASK_MS, () => end(true));
    socket.on('connect', () => end(true));
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'));
  });
}

/** Narrow from its first moment: the socket is bound before listen() returns. */
async function listen(server: Server, path: string): Promise<void> {
  const listening = new Promise<void>((resolve, reject) => {
    server.once('listening', resolve);
    server.once('error', reject);
  });
  const mask = process.umask(0o117);
  try {
    server.listen(path);
  } finally {
    process.umask(mask);
  }
  await listening;
}
