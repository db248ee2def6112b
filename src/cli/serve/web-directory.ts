/** The directory of the built dashboard: `web/` beside the command. */
import { dirname, join } from 'node:path';
import { realpathSync } from 'node:fs';

/** Undefined where the command itself cannot be found. */
export function webDirectory(): string | undefined {
  const [, main] = process.argv;
  try {
    return main === undefined ? undefined : join(dirname(realpathSync(main)), 'web');
  } catch {
    return undefined;
  }
}
