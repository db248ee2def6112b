/**
 * JSON from a process that may have been taken over: depth and number of values are bounded before anything is built of it.
 * A parser that recurses could overflow the stack, and 30 MB of `{}` would become a gigabyte of objects.
 */

/** Values inside of values, and all of them together: an answer with the most places has some 131,000. */
const MAX_DEPTH = 16;
const MAX_VALUES = 200_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPENING: ReadonlySet<number> = new Set([0x5b, 0x7b]);
const CLOSING: ReadonlySet<number> = new Set([0x5d, 0x7d]);

/**
 * Whether `json`, UTF-8, stays within the bounds. Every value but the first follows a bracket, a comma or a colon, so these are
 * counted, outside of strings; whether it is JSON at all is for the parser.
 */
export function isBoundedJson(json: Uint8Array): boolean {
  let depth = 0;
  let values = 1;
  for (let at = 0; at < json.byteLength; at += 1) {
    const byte = json[at] as number;
    if (byte === QUOTE) at = endOfString(json, at);
    else if (CLOSING.has(byte)) depth -= 1;
    else if (OPENING.has(byte)) {
      depth += 1;
      values += 1;
    } else if (byte === COMMA || byte === COLON) values += 1;
    if (depth > MAX_DEPTH || values > MAX_VALUES) return false;
  }
  return true;
}

/** The place of the quote that ends the string which begins at `start`; the end of `json` where none does. */
function endOfString(json: Uint8Array, start: number): number {
  let at = start + 1;
  while (at < json.byteLength && json[at] !== QUOTE) at += json[at] === BACKSLASH ? 2 : 1;
  return at;
}
