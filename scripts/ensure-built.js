/** Builds dist/ unless it is newer than everything it is made of. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const INGREDIENTS = ['src', 'package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts/build.js'];
/** The last thing that the build writes: if it is there and new, so is the rest. */
const LAST_PRODUCT = join(ROOT, 'dist', 'man', 'plimsoll.1');

function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return path.endsWith('.test.ts') ? 0 : stat.mtimeMs;
  // The directory's own time tells of files that were removed or renamed.
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

const built = existsSync(LAST_PRODUCT) ? statSync(LAST_PRODUCT).mtimeMs : 0;
if (INGREDIENTS.some((path) => newest(join(ROOT, path)) > built)) {
  const { status } = spawnSync(process.execPath, [join(ROOT, 'scripts', 'build.js')], { stdio: 'inherit' });
  process.exit(status ?? 1);
}
