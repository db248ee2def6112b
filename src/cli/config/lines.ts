/** Finds the line of a key in a TOML text. The parser reports positions only for syntax errors. */

/** Line of `key` in the table `table`; of an array of tables the one with that index. Undefined if unknown. */
export function lineOfKey(text: string, table: string, index: number, key: string | undefined): number | undefined {
  let current = '';
  let count = -1;
  for (const [at, line] of text.split('\n').entries()) {
    const header = /^\s*\[\[?\s*([\w."' -]+?)\s*\]\]?/.exec(line)?.[1]?.replaceAll(/["' ]/g, '');
    if (header !== undefined) {
      current = header;
      if (header === table.split('.')[0] && /^\s*\[\[/.test(line)) count += 1;
    }
    const isHere = current === table && (index < 0 || count === index);
    const isKey =
      key === undefined
        ? header !== undefined
        : header === undefined && new RegExp(`^\\s*["']?${escapeForPattern(key)}["']?\\s*[=.]`).test(line);
    if (isHere && isKey) return at + 1;
    // A table that is not allowed: the error is in its header.
    if (key !== undefined && header === (table === '' ? key : `${table}.${key}`) && (index < 0 || count === index)) return at + 1;
  }
  return undefined;
}

function escapeForPattern(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
}
