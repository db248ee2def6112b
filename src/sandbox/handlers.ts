/**
 * The requests that a confined worker answers. With --unconfined the same table answers in the process of the caller.
 *
 * A handler reads nothing but its devices, and imports all it needs at the head of its module: under the seccomp filter no file
 * can be opened, so no `import()`, and no thread can be started.
 */
import { MiB } from '#base';
import { readUpTo } from '#block';
import type { Handler, HandlerContext, Handlers } from '#confined';
import { contentExtentsHandler, openContentHandler, readContentHandler } from './content-handlers.ts';
import { examineHandler } from './examine-handler.ts';
import { vetHandler, vetPlacesHandler } from './vet/handler.ts';

const PIECE_BYTES = MiB;
/** Adler-32, RFC 1950 section 8.2: the largest prime below 2^16, and how many bytes cannot overflow 2^53 between divisions. */
const ADLER_MODULUS = 65_521;

/** The length and the Adler-32 of the first device, for tests: whether the worker reads all of it. */
async function probeHash(_params: unknown, { devices: [device], signal }: HandlerContext): Promise<object> {
  let low = 1;
  let high = 0;
  let byteLength = 0;
  const end = device?.byteLength ?? 0;
  for (let at = 0; at < end; at += PIECE_BYTES) {
    signal.throwIfAborted();
    const piece = device === undefined ? [] : await readUpTo(device, at, PIECE_BYTES);
    for (const byte of piece) {
      low += byte;
      high += low;
    }
    low %= ADLER_MODULUS;
    high %= ADLER_MODULUS;
    byteLength += piece.length;
  }
  return { byteLength, adler32: high * 0x10000 + low };
}

/** A line each; the handler is a module of its own. */
export const HANDLERS: Handlers = new Map<string, Handler>([
  ['content-extents', contentExtentsHandler],
  ['examine', examineHandler],
  ['open-content', openContentHandler],
  ['probe-hash', probeHash],
  ['read-content', readContentHandler],
  ['vet', vetHandler],
  ['vet-places', vetPlacesHandler],
]);
