/** File names as text: bytes to the kernel, text in JSON and for people, and different names never look alike. */

/** Added to U+DC00 this represents a byte that is not UTF-8. */
const ESCAPE = 0xdc00;
const REPLACEMENT = '\ufffd';
/** Bytes of a character in UTF-8. */
const MAX_CHARACTER_LENGTH = 4;

/**
 * `name` as text. Each byte that is not part of UTF-8 becomes the lone surrogate U+DC00 + byte, as in Python's surrogateescape
 * (PEP 383): different names are different texts, and the bytes can be had back.
 */
export function nameText(name: string | Buffer): string {
  if (typeof name === 'string') return name;
  const text = name.toString('utf8');
  return !text.includes(REPLACEMENT) || isUtf8(name) ? text : escaped(name);
}

function escaped(name: Buffer): string {
  let text = '';
  for (let at = 0; at < name.length; ) {
    const byteLength = characterAt(name, at);
    text += byteLength === 0 ? String.fromCharCode(ESCAPE + (name[at] ?? 0)) : name.toString('utf8', at, at + byteLength);
    at += Math.max(byteLength, 1);
  }
  return text;
}

/** Bytes of the character that begins at `at`; 0: none does. */
function characterAt(name: Buffer, at: number): number {
  for (let byteLength = 1; byteLength <= Math.min(MAX_CHARACTER_LENGTH, name.length - at); byteLength += 1) {
    if (isUtf8(name.subarray(at, at + byteLength))) return byteLength;
  }
  return 0;
}

function isUtf8(bytes: Buffer): boolean {
  return Buffer.from(bytes.toString('utf8')).equals(bytes);
}
