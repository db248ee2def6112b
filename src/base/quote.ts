/**
 * Text that came from an image or a file name, made harmless for terminals: C0, C1, DEL, bidirectional controls and
 * lone surrogates are shown as escapes, so that a name can neither move the cursor nor forge a line.
 */

const UNSAFE =
  // oxlint-disable-next-line no-control-regex
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffd\\]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

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
  const code = character.charCodeAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
}
