/**
 * Parses `--allow-dir`. Each directory must exist, since a misspelt one would silently change which references are
 * followed.
 */
import { stat } from 'node:fs/promises';
import { asPlimsollError, PlimsollError } from '#base';

/** The directories as given. Throws: usage (ALLOW_DIR), naming the first that is not a directory. */
export async function allowedDirectories(given: readonly string[] = []): Promise<readonly string[]> {
  for (const directory of given) {
    const found = await whyNotDirectory(directory);
    if (found !== undefined)
      throw new PlimsollError('usage', 'ALLOW_DIR', {
        doing: 'parse --allow-dir',
        found: `${directory}: ${found}`,
        expected: 'a directory',
      });
  }
  return given;
}

async function whyNotDirectory(path: string): Promise<string | undefined> {
  try {
    return (await stat(path)).isDirectory() ? undefined : 'not a directory';
  } catch (thrown) {
    return String(asPlimsollError(thrown, 'look up directory', path).where.found);
  }
}
