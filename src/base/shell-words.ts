/**
 * Commands as text that is safe to paste: each word quoted for a shell, every character that could move the cursor or end the
 * line written as an octal escape. `$'...'` is of bash, zsh, ksh and POSIX.1-2024; an older shell passes it on as a wrong name.
 */
import { isHarmless } from './quote.ts';

/** Words of these characters mean themselves in every shell; zsh expands a leading `=`. */
const PLAIN = /^[A-Za-z0-9_@%+:,./-][A-Za-z0-9_@%+=:,./-]*$/;
/** A byte that is not UTF-8, as PEP 383 writes it in text: U+DC00 + byte. */
const BYTE_ESCAPE = /[\udc80-\udcff]/;

/** `word` quoted for a shell. Of a file name that is not UTF-8, give the text of PEP 383 (surrogateescape). */
export function shellWord(word: string): string {
  if (PLAIN.test(word)) return word;
  if (isHarmless(word)) return `'${word.replaceAll("'", String.raw`'\''`)}'`;
  return `$'${Array.from(word, escapedCharacter).join('')}'`;
}

/** `words` as one line. */
export function shellLine(words: readonly string[]): string {
  return words.map(shellWord).join(' ');
}

function escapedCharacter(character: string): string {
  if (PLAIN.test(character) || character === ' ') return character;
  const bytes =
    BYTE_ESCAPE.test(character) && character.length === 1 ? [character.charCodeAt(0) - 0xdc00] : new TextEncoder().encode(character);
  return Array.from(bytes, (byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
}

/**
 * `path` as an argument that a program takes for a file and nothing else: not an option (`-x`), not a protocol (`nbd:host`,
 * `json:{}`). Source: QEMU, path_has_protocol(): a colon before the first slash ends the name of a protocol.
 */
export function fileArgument(path: string): string {
  return /^\.{0,2}\//.test(path) ? path : `./${path}`;
}
