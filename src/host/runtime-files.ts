/**
 * The files that a Node process needs to start and to load koffi: the complete contents of a sandbox.
 *
 * The libraries are found among those that this process has mapped itself, by the names under which the loader asks for
 * them. In the jail they lie flat in one directory under these names, so no distribution's search path matters.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { asPlimsollError, PlimsollError } from '#base';
import { type ElfNeeds, readElfNeeds } from './elf.ts';

export interface RuntimeFiles {
  readonly node: string;
  /** The dynamic loader, and the path at which node expects it. */
  readonly loader: { readonly source: string; readonly path: string } | undefined;
  /** Libraries by the names under which the loader requests them. */
  readonly libraries: ReadonlyMap<string, string>;
  /** Package folders by their names. */
  readonly packages: ReadonlyMap<string, string>;
}

let found: RuntimeFiles | undefined;

/**
 * The runtime of this process. Looked up once: a library that is replaced meanwhile is found at the same path.
 *
 * Throws: unsupported, SANDBOX_UNAVAILABLE; io.
 */
export function runtimeFiles(): RuntimeFiles {
  try {
    found ??= findRuntimeFiles();
    return found;
  } catch (error) {
    throw asPlimsollError(error, 'find the files of a sandboxed process');
  }
}

/** The first of `candidates`, relative to the module `moduleUrl`, that exists. Throws: unsupported, SANDBOX_UNAVAILABLE. */
export function fileBeside(moduleUrl: string, candidates: readonly string[]): string {
  const paths = candidates.map((candidate) => fileURLToPath(new URL(candidate, moduleUrl)));
  const path = paths.find((one) => existsSync(one));
  if (path !== undefined) return path;
  throw missing('nothing', `one of ${paths.join(', ')} (npm run build)`);
}

function findRuntimeFiles(): RuntimeFiles {
  const koffi = koffiPackages();
  const node = readElfNeeds(process.execPath);
  const { interpreter } = node;
  const loader = interpreter === undefined ? undefined : { source: interpreter, path: interpreter };
  const libraries = closure([node, readElfNeeds(koffi.binary)], interpreter === undefined ? '' : basename(interpreter));
  return { node: process.execPath, loader, libraries, packages: koffi.packages };
}

/** The dependencies of `roots`, transitively. */
function closure(roots: readonly ElfNeeds[], loaderName: string): Map<string, string> {
  const mapped = mappedLibraries();
  const libraries = new Map<string, string>();
  const open = roots.flatMap(({ needed }) => needed);
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    // The loader is already present when it searches for the others.
    if (name === loaderName || libraries.has(name)) continue;
    const path = libraryCalled(name, mapped);
    libraries.set(name, path);
    open.push(...readElfNeeds(path).needed);
  }
  return libraries;
}

function libraryCalled(name: string, mapped: readonly string[]): string {
  const besides = mapped.map((path) => join(dirname(path), name));
  const path =
    mapped.find((one) => basename(one) === name) ??
    mapped.find((one) => readElfNeeds(one).soname === name) ??
    besides.find((one) => existsSync(one));
  if (path !== undefined) return path;
  throw missing(name, 'a library that this process has loaded');
}

/** The last column of /proc/self/maps where it names a library; a replaced one is marked, and its successor has its path. */
function mappedLibraries(): string[] {
  const maps = readFileSync('/proc/self/maps', 'utf8');
  const paths = [...maps.matchAll(/ (\/[^\n]*)$/gm)].map(([, path]) => (path ?? '').replace(/ \(deleted\)$/, ''));
  return [...new Set(paths)].filter((path) => /\.so(\.[\w.]+)?$/.test(path) && existsSync(path));
}

function koffiPackages(): { binary: string; packages: Map<string, string> } {
  const native = `@koromix/koffi-${process.platform}-${process.arch}`;
  try {
    const entry = createRequire(import.meta.url).resolve('koffi');
    const nativeFolder = dirname(createRequire(entry).resolve(native));
    const libc = (readElfNeeds(process.execPath).interpreter ?? '').includes('musl') ? 'musl' : 'linux';
    const packages = new Map([
      ['koffi', dirname(entry)],
      [native, nativeFolder],
    ]);
    return { binary: join(nativeFolder, `${libc}_${process.arch}`, 'koffi.node'), packages };
  } catch (cause) {
    throw missing('koffi is not installed', 'the optional dependency koffi', cause);
  }
}

function missing(name: string, expected: string, cause?: unknown): PlimsollError {
  return new PlimsollError('unsupported', 'SANDBOX_UNAVAILABLE', {
    doing: 'find the files of a sandboxed process',
    found: name,
    expected,
    ...(cause === undefined ? {} : { cause }),
  });
}
