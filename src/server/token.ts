/** The token that lets a client in: a line in a file that others cannot read, compared in constant time. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { open } from 'node:fs/promises';
import { asPlimsollError, PlimsollError } from '#base';

const LEAST_TOKEN_LENGTH = 32;
const LONGEST_TOKEN_FILE = 4096;

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
    const { buffer, bytesRead } = await file.read(Buffer.alloc(LONGEST_TOKEN_FILE), 0, LONGEST_TOKEN_FILE, 0);
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
  if (/^[\x21-\x7e]+$/.test(token) && token.length >= LEAST_TOKEN_LENGTH) return token;
  throw new PlimsollError('usage', 'TOKEN_FILE', {
    doing,
    image,
    found: `${token.length} characters`,
    expected: `one line of at least ${LEAST_TOKEN_LENGTH} printable characters without blanks, such as openssl rand -hex 32 prints`,
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
