/** JSON for terminals and logs: what JSON lets through of control and direction characters is written as `\uXXXX`. */

/**
 * DEL and the C1 controls; soft hyphen; what turns text around, joins or separates it invisibly, or ends a line; byte order
 * mark; interlinear annotation; tags, by their surrogates. C0 controls and lone surrogates are escaped by JSON.stringify.
 */
const UNSAFE =
  // oxlint-disable-next-line no-control-regex
  /[\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\udb40[\udc00-\udfff]/g;

/** `value` as JSON of the same meaning, which holds no character that a terminal obeys or does not show. */
export function jsonText(value: unknown, indent?: number): string {
  return (JSON.stringify(value, undefined, indent) ?? 'null').replace(UNSAFE, escapeUnits);
}

function escapeUnits(character: string): string {
  return Array.from({ length: character.length }, (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`).join('');
}
