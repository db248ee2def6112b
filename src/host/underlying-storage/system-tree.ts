/** Reads /proc and /sys below a root directory, which tests replace with a captured tree. */
import { readdirSync, readFileSync, realpathSync } from 'node:fs';

/** Every question has an answer; undefined and empty lists stand for what is missing or may not be read. */
export class SystemTree {
  readonly root: string;

  /** `root`: '' for the running system; else a directory with `proc` and `sys` in it. */
  constructor(root = '') {
    this.root = root;
  }

  /** The first line of a file, without its newline, as latin1. */
  line(path: string): string | undefined {
    return this.text(path)?.split('\n')[0];
  }

  text(path: string): string | undefined {
    return this.bytes(path)?.toString('latin1');
  }

  bytes(path: string): Buffer | undefined {
    try {
      return readFileSync(`${this.root}${path}`);
    } catch {
      return undefined;
    }
  }

  /** A whole number; undefined for anything else. */
  number(path: string): number | undefined {
    const text = this.line(path)?.trim() ?? '';
    return /^-?\d+$/.test(text) ? Number(text) : undefined;
  }

  names(directory: string): string[] {
    try {
      return readdirSync(`${this.root}${directory}`).sort();
    } catch {
      return [];
    }
  }

  /** undefined: there is no such directory, or it may not be read. */
  namesIfThere(directory: string): string[] | undefined {
    try {
      return readdirSync(`${this.root}${directory}`).sort();
    } catch {
      return undefined;
    }
  }

  /** `path` with its links resolved. */
  real(path: string): string | undefined {
    try {
      const found = realpathSync(`${this.root}${path}`);
      const root = this.root === '' ? '' : realpathSync(this.root);
      return found.startsWith(`${root}/`) ? found.slice(root.length) : undefined;
    } catch {
      return undefined;
    }
  }
}
