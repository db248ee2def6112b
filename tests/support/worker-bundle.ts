/** Workers for the jail, bundled as scripts/build.js bundles the real one. */
import { join } from 'node:path';
import { build } from 'esbuild';
import { ROOT } from './root.ts';

/** Bundles the TypeScript `entry` into `path`, one file that needs nothing but koffi. */
export async function bundleWorker(entry: string, path: string): Promise<string> {
  await build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
    outfile: path,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    conditions: ['source'],
    external: ['koffi'],
    logLevel: 'warning',
  });
  return path;
}

/** The entry of dist/worker.js. */
export const REAL_WORKER = join(ROOT, 'src/sandbox/worker-main.ts');
