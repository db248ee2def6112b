/** Finds the stores of a daemon: by id, or by a path on one, which need not exist yet. */
import { basename, dirname, isAbsolute, join, relative } from 'node:path';
import { asPlimsollError, PlimsollError } from '#base';
import { filesystemOf, type HostFilesystem, realpaths } from '#host';
import type { MonitoredStore } from './monitored-store.ts';

/** Directories named in a message; there can be thousands. */
const NAMED_DIRECTORIES = 5;

export class StoreDirectory {
  readonly #stores = new Map<string, MonitoredStore>();
  readonly #directories: readonly string[];

  /** `directories`: all that are configured. */
  constructor(directories: readonly string[]) {
    this.#directories = directories;
  }

  get all(): readonly MonitoredStore[] {
    return [...this.#stores.values()];
  }

  find(id: string): MonitoredStore | undefined {
    return this.#stores.get(id);
  }

  add(store: MonitoredStore): void {
    this.#stores.set(store.id, store);
  }

  /** Throws: not-found, STORE_UNKNOWN. */
  get(id: string): MonitoredStore {
    const found = this.#stores.get(id);
    if (found === undefined) throw storeUnknown(id, 'the id of a monitored store');
    return found;
  }

  /** Throws: not-found, STORE_UNKNOWN; busy, STORE_NOT_SCANNED; io. */
  async resolve(store: string): Promise<MonitoredStore> {
    if (!isAbsolute(store)) return this.get(store);
    for (let path = store; ; path = dirname(path)) {
      try {
        return this.#on(await filesystemOf(path));
      } catch (thrown) {
        const error = asPlimsollError(thrown, 'find store', path);
        if (error.code === 'STORE_UNKNOWN') throw await this.#notOnAny(store, path);
        if (error.kind !== 'not-found' || path === '/') throw error;
      }
    }
  }

  /** By the superblock first: examined by itself, a copy of a filesystem has the id of its original. */
  #on({ id, device }: HostFilesystem): MonitoredStore {
    const present = this.all.filter(({ kept }) => kept.presence === 'present');
    return present.find(({ kept }) => kept.device === device) ?? this.get(id);
  }

  /**
   * Names the configured directories, since ids are opaque. A path below one that has not been scanned, for example because it was
   * not mounted, is monitored and its store unknown: it must not be reported as unmonitored.
   */
  async #notOnAny(path: string, nearest: string): Promise<PlimsollError> {
    const scanned = new Set(this.all.flatMap(({ kept }) => kept.directories));
    const [real = nearest] = await realpaths([nearest]);
    const unscanned = this.#directories.find((one) => !scanned.has(one) && (isBelow(one, path) || isBelow(one, real)));
    if (unscanned !== undefined) {
      const where = { doing: 'find store', field: 'store', found: path, expected: 'a directory that has been scanned' };
      return new PlimsollError('busy', 'STORE_NOT_SCANNED', { ...where, image: unscanned });
    }
    const more = this.#directories.length > NAMED_DIRECTORIES ? ', ...' : '';
    return storeUnknown(path, `a path on a monitored filesystem: ${this.#directories.slice(0, NAMED_DIRECTORIES).join(', ')}${more}`);
  }
}

/**
 * The name that scans will report for a new image: they name it by the configured directory, which can be a link.
 *
 * Throws: usage, PATH_RELATIVE; not-found, DIRECTORY_MISSING.
 */
export async function nameInScans(path: string, directories: readonly string[]): Promise<string> {
  if (!isAbsolute(path)) {
    throw new PlimsollError('usage', 'PATH_RELATIVE', { doing: 'reserve space', field: 'path', found: path, expected: 'an absolute path' });
  }
  const [place] = await realpaths([dirname(path)]);
  if (place === undefined) {
    throw new PlimsollError('not-found', 'DIRECTORY_MISSING', {
      doing: 'reserve space',
      field: 'path',
      found: path,
      expected: 'a path whose parent directory exists',
    });
  }
  for (const directory of directories) {
    const [root] = await realpaths([directory]);
    if (root !== undefined && isBelow(root, place)) return join(directory, relative(root, place), basename(path));
  }
  return join(place, basename(path));
}

function isBelow(directory: string, path: string): boolean {
  const below = relative(directory, path);
  return below !== '..' && !below.startsWith('../');
}

function storeUnknown(found: string, expected: string): PlimsollError {
  return new PlimsollError('not-found', 'STORE_UNKNOWN', { doing: 'find store', found, expected });
}
