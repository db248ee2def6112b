/** The token that lets a client in: a line in a file that others cannot read, compared in constant time. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { asPlimsollError, PlimsollError } from '#base';

const MIN_TOKEN_LENGTH = 32;
const MAX_TOKEN_FILE_LENGTH = 4096;

const GENERATED_NAME = 'token';
const GENERATED_BYTES = 32;

export interface GeneratedToken {
  readonly path: string;
  readonly text: string;
}

/**
 * The token in the file `token` of `stateDirectory`, which is generated (mode 0600) where there is none: 256 random bits. It
 * stays over restarts, so that a page that is open keeps working; removing the file changes it. One daemon at a time.
 *
 * Throws: as readToken.
 */
export async function ensureToken(stateDirectory: string): Promise<GeneratedToken> {
  const path = join(stateDirectory, GENERATED_NAME);
  try {
    return { path, text: await readToken(path) };
  } catch (thrown) {
    if (asPlimsollError(thrown, 'read the token file', path).kind !== 'not-found') throw thrown;
  }
  const next = `${path}.next`;
  try {
    await using file = await open(next, 'w', 0o600);
    await file.chmod(0o600);
    await file.writeFile(`${randomBytes(GENERATED_BYTES).toString('hex')}\n`);
    await file.sync();
    await rename(next, path);
  } catch (thrown) {
    throw asPlimsollError(thrown, 'write the token file', path);
  }
  return { path, text: await readToken(path) };
}

/**
 * The token in `path`, blanks at its edges left out.
 *
 * Throws: refused, TOKEN_FILE_MODE, when others may read the file, or its group may write it; usage, TOKEN_FILE, when it
 * holds no token of at least 32 printable characters; not-found, io.
 */
export async function readToken(path: string): Promise<string> {
  const doing = 'read the token file';
  try {
    await using file = await open(path, 'r');
    const { mode } = await file.stat();
    refuseOpenMode(mode, doing, path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_TOKEN_FILE_LENGTH), 0, MAX_TOKEN_FILE_LENGTH, 0);
    return checkedToken(buffer.toString('latin1', 0, bytesRead).trim(), doing, path);
  } catch (thrown) {
    throw asPlimsollError(thrown, doing, path);
  }
}

/** The last three digits of a mode in octal: owner, group, others. */
function refuseOpenMode(mode: number, doing: string, image: string): void {
  const digits = (mode % 0o1000).toString(8).padStart(3, '0');
  if (/^\d[04]0$/.test(digits)) return;
  throw new PlimsollError('refused', 'TOKEN_FILE_MODE', {
    doing,
    image,
    field: 'mode',
    found: `0${digits}`,
    expected: '0600, 0400, or 0640 for a group that may read it',
  });
}

function checkedToken(token: string, doing: string, image: string): string {
  if (/^[\x21-\x7e]+$/.test(token) && token.length >= MIN_TOKEN_LENGTH) return token;
  throw new PlimsollError('usage', 'TOKEN_FILE', {
    doing,
    image,
    found: `${token.length} characters`,
    expected: `one line of at least ${MIN_TOKEN_LENGTH} printable characters without blanks, such as openssl rand -hex 32 prints`,
  });
}

/** Whether `authorization`, a header, carries `token`; takes the same time whatever it carries. */
export function carriesToken(authorization: string | undefined, token: string): boolean {
  const given = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1] ?? '';
  return timingSafeEqual(digest(given), digest(token));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
