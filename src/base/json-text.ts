/** JSON for terminals and logs: control and direction characters that JSON permits are written as `\uXXXX`. */

import { INVISIBLE } from './quote.ts';

/** C0 controls and lone surrogates are escaped by JSON.stringify. */
const UNSAFE = new RegExp(`[${INVISIBLE}]`, 'gu');

/** `value` as JSON of the same meaning, which holds no character that a terminal obeys or does not show. */
export function jsonText(value: unknown, indent?: number): string {
  return (JSON.stringify(value, undefined, indent) ?? 'null').replace(UNSAFE, escapeUnits);
}

function escapeUnits(character: string): string {
  return Array.from({ length: character.length }, (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`).join('');
}
