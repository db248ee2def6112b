/**
 * Escapes text from images and file names for terminals: control, invisible and direction characters and lone surrogates
 * become visible escapes, so that a name can neither move the cursor, forge a line nor imitate another name.
 */

/**
 * For a character class of a `u` expression: DEL and the C1 controls, ends of lines, interlinear annotation, and every code
 * point that Unicode calls ignorable (soft hyphen, joiners, direction, fillers, variation selectors, tags).
 */
export const INVISIBLE = String.raw`\u007f-\u009f\u2028\u2029\ufff9-\ufffb\p{Default_Ignorable_Code_Point}`;

const UNSAFE = new RegExp(String.raw`[\u0000-\u001f\ufffd\\${INVISIBLE}\p{Surrogate}]`, 'gu');

/** `text` with every unsafe character escaped and at most `maxLength` characters, an ellipsis marking the cut. */
export function quoteForHumans(text: string, maxLength = 64): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength - 1)}…` : text;
  return cut.replace(UNSAFE, escapeOne);
}

/** `text` with every unsafe character escaped, uncut: for paths, which must stay whole. */
export function escapeForTerminal(text: string): string {
  return text.replace(UNSAFE, escapeOne);
}

/**
 * `text` with every unsafe character escaped but the backslash: for sentences whose quoted parts are escaped already, so that
 * the reader sees each escape once.
 */
export function escapeSentence(text: string): string {
  return text.replace(UNSAFE, (character) => (character === '\\' ? character : escapeOne(character)));
}

/** Whether a terminal shows every character of `text` as it is. A backslash is shown as it is. */
export function isHarmless(text: string): boolean {
  return (text.match(UNSAFE) ?? []).every((character) => character === '\\');
}

function escapeOne(character: string): string {
  if (character === '\n') return '\\n';
  if (character === '\t') return '\\t';
  if (character === '\r') return '\\r';
  if (character === '\\') return '\\\\';
  const code = character.codePointAt(0) as number;
  if (code > 0xffff) return `\\u{${code.toString(16)}}`;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
}
