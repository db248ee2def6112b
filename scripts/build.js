/**
 * Builds dist/ from src/: the command and the library as one split ESM bundle, the confined worker as one file, their
 * types, the dashboard (web/), the shell completions, the manual page, and the licences of the packages bundled into them.
 *
 *   node scripts/build.js [--no-types]
 *
 * The bundle is split at every dynamic import, so that a command loads only what it needs.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { licencesOf } from './licences.js';
import { expandSchemaTypes } from './schema-types.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const DIST = join(ROOT, 'dist');
/** Where everything is made: a command that runs meanwhile sees the old build or the new one, never half of it. */
const NEXT = join(ROOT, 'dist.next');
const OLDEST_NODE = 'node20.19';

/** Generated from the command definitions: the file below dist/, and the command line that prints it. */
const GENERATED = [
  ['completions/plimsoll.bash', ['completion', 'bash']],
  ['completions/_plimsoll', ['completion', 'zsh']],
  ['completions/plimsoll.fish', ['completion', 'fish']],
  ['man/plimsoll.1', ['man']],
];

async function loadEsbuild() {
  try {
    return await import('esbuild');
  } catch {
    // `npm ci --omit=dev` still runs `prepare`; what was built before stays as it is.
    if (existsSync(join(DIST, 'main.js'))) process.exit(0);
    console.error('Cannot build: esbuild is not installed, expected the development dependencies (npm ci)');
    return process.exit(1);
  }
}

/** The source files of the command, the library and the worker. */
async function bundle() {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const esbuild = await loadEsbuild();
  const options = {
    absWorkingDir: ROOT,
    outdir: NEXT,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: OLDEST_NODE,
    conditions: ['source'],
    // These carry a native library beside their JavaScript and must stay packages of their own.
    external: ['koffi', 'libsql'],
    // commander is CommonJS and asks for Node's modules by require().
    banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
    define: { PLIMSOLL_VERSION: JSON.stringify(version) },
    metafile: true,
    legalComments: 'none',
    sourcemap: 'linked',
    sourcesContent: false,
    logLevel: 'warning',
  };
  const split = await esbuild.build({
    ...options,
    entryPoints: { main: 'src/cli/main.ts', index: 'src/index.ts' },
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
  });
  chmodSync(join(NEXT, 'main.js'), 0o755);
  // The jail shows one file, and behind the seal no other could be opened: the worker is bundled whole.
  const worker = await esbuild.build({ ...options, entryPoints: { worker: 'src/sandbox/worker-main.ts' }, splitting: false });
  return [split, worker].flatMap(({ metafile }) => Object.keys(metafile.inputs));
}

/**
 * The dashboard, for browsers: hashed files that any content security policy of `default-src 'self'` lets through, so
 * nothing is inlined. Addresses are relative: it works below any path. Returns its source files.
 */
async function bundleWeb() {
  const { build } = await import('vite');
  const { output } = await build({
    configFile: false,
    root: join(ROOT, 'src', 'web'),
    base: './',
    logLevel: 'warn',
    publicDir: false,
    resolve: { conditions: ['source', 'browser', 'import', 'module', 'default'] },
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
    build: {
      outDir: join(NEXT, 'web'),
      emptyOutDir: false,
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      target: 'es2022',
      reportCompressedSize: false,
    },
  });
  return output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : (file.originalFileNames ?? [])));
}

async function emitTypes() {
  run(join(ROOT, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.build.json', '--outDir', join(NEXT, 'types')], 'inherit');
  await expandSchemaTypes(await loadEsbuild(), ROOT, join(NEXT, 'types'));
}

function generate() {
  for (const [path, words] of GENERATED) {
    const file = join(NEXT, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, run(process.execPath, [join(NEXT, 'main.js'), ...words], 'pipe'));
  }
}

function run(command, words, stdout) {
  const result = spawnSync(command, words, { cwd: ROOT, stdio: ['ignore', stdout, 'inherit'] });
  if (result.error) throw result.error;
  if (result.status !== 0) {
    console.error(`Cannot build: ${command} ${words.join(' ')} ended with ${result.status}`);
    process.exit(1);
  }
  return result.stdout;
}

const withTypes = !process.argv.includes('--no-types');
rmSync(NEXT, { recursive: true, force: true });
const inputs = [...(await bundle()), ...(await bundleWeb())];
writeFileSync(join(NEXT, 'LICENCES'), licencesOf(ROOT, inputs));
if (withTypes) await emitTypes();
else if (existsSync(join(DIST, 'types'))) cpSync(join(DIST, 'types'), join(NEXT, 'types'), { recursive: true });
generate();
rmSync(DIST, { recursive: true, force: true });
renameSync(NEXT, DIST);
