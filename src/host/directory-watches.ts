/**
 * Reports changed directories through inotify. A hint that triggers an earlier scan, never the only trigger: changes
 * through a mapping, on other hosts, or under a mount that covers a directory are not reported.
 */
import { type FSWatcher, watch } from 'node:fs';

/** A directory by device and inode number: it is watched under whatever name it has. */
export interface WatchedDirectory {
  readonly key: string;
  readonly pathBytes: Buffer;
}

/** names: something was created, deleted or renamed. content: something was written. */
export type DirectoryEvent = 'names' | 'content';

/** Why some directories are not watched. */
export type WatchLack = 'limit' | 'failed' | undefined;

/**
 * Each watch takes about 1 KiB of kernel memory, and counts against fs.inotify.max_user_watches, which all programs of a user
 * share.
 */
export const MAX_WATCHES = 4096;
/**
 * Events per directory before its watch is suspended until `calm`: a directory whose guests write constantly would otherwise keep
 * the process busy with events.
 */
const MAX_EVENTS = 2000;

interface Watch {
  readonly watcher: FSWatcher;
  events: number;
}

export class DirectoryWatches {
  readonly #onEvent: (event: DirectoryEvent) => void;
  readonly #most: number;
  readonly #watches = new Map<string, Watch>();
  /** Suspended since the last `cover`: it reported too many events. */
  readonly #muted = new Set<string>();

  constructor(onEvent: (event: DirectoryEvent) => void, most: number = MAX_WATCHES) {
    this.#onEvent = onEvent;
    this.#most = most;
  }

  get count(): number {
    return this.#watches.size;
  }

  /** Watches exactly these directories from now on, as far as the kernel permits; returns why some are not watched. */
  cover(directories: readonly WatchedDirectory[]): WatchLack {
    this.#muted.clear();
    for (const watched of this.#watches.values()) watched.events = 0;
    const wanted = new Set(directories.map(({ key }) => key));
    for (const key of Array.from(this.#watches.keys())) if (!wanted.has(key)) this.#drop(key);
    let lack: WatchLack;
    if (this.#most === 0) return lack;
    for (const { key, pathBytes } of directories) {
      if (this.#watches.has(key)) continue;
      if (this.#watches.size >= this.#most) return 'limit';
      const refused = this.#add(key, pathBytes);
      if (refused === 'limit') return 'limit';
      lack ??= refused;
    }
    return lack;
  }

  close(): void {
    for (const key of Array.from(this.#watches.keys())) this.#drop(key);
  }

  #add(key: string, pathBytes: Buffer): WatchLack {
    try {
      // By its path as bytes: Node returns the names in events in the requested encoding, and none is needed here.
      const watcher = watch(pathBytes, { persistent: false, encoding: 'buffer' }, (type) => this.#note(key, type));
      watcher.on('error', () => this.#drop(key));
      this.#watches.set(key, { watcher, events: 0 });
      return undefined;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // Removed since it was read: the next scan pass finds that.
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
      return code === 'ENOSPC' || code === 'EMFILE' || code === 'ENOMEM' ? 'limit' : 'failed';
    }
  }

  #note(key: string, type: string): void {
    const watched = this.#watches.get(key);
    if (watched === undefined || this.#muted.has(key)) return;
    watched.events += 1;
    if (watched.events >= MAX_EVENTS) {
      this.#muted.add(key);
      this.#drop(key);
    }
    this.#onEvent(type === 'rename' ? 'names' : 'content');
  }

  #drop(key: string): void {
    const watched = this.#watches.get(key);
    this.#watches.delete(key);
    watched?.watcher.close();
  }
}
