/**
 * Files that are never written and count with their allocation: declared by the administrator, or of a kind that guests
 * do not write. A reference in an image is never sufficient, since any image can name another VM's disk as its backing
 * file, and a file that is open for writing always counts in full.
 */
import { plural } from '#base';
import type { ExportKind } from '#sandbox';
import type { Finding, NeverWritten } from '#wire';
import { type PathMatcher, pathMatcher } from './path-pattern.ts';

/** In the place of a pattern: the files that overlays use as their backing files. */
export const BACKING = 'backing';

export interface StoredFileFacts {
  /** All names that the scan came to. */
  readonly paths: readonly string[];
  readonly backingOf: readonly string[];
  /** A lock, a process or a loop device was found that can write it; undefined if the query failed. */
  readonly isOpenForWriting: boolean | undefined;
  /** The permission bits of its mode; undefined when the file could not be opened. */
  readonly permissions: number | undefined;
  readonly exported: ExportKind | undefined;
}

export interface WrittenVerdict {
  readonly reason: NeverWritten | null;
  readonly findings: readonly Finding[];
}

/** The rule of one store, from the patterns of its policy. Throws: usage, PATTERN_SYNTAX. */
export class NeverWrittenRule {
  readonly #matches: PathMatcher;
  readonly #coversBacking: boolean;

  constructor(patterns: readonly string[]) {
    this.#matches = pathMatcher(patterns.filter((pattern) => pattern !== BACKING));
    this.#coversBacking = patterns.includes(BACKING);
  }

  judge(file: StoredFileFacts): WrittenVerdict {
    const claimed = this.#claimOf(file);
    if (claimed === undefined) return { reason: null, findings: backingFindings(file) };
    if (file.isOpenForWriting === true) return { reason: null, findings: [stillWritten(claimed)] };
    if (claimed === 'backing' && isWritable(file.permissions)) return { reason: null, findings: [writableBacking(file.backingOf.length)] };
    return { reason: claimed, findings: [neverWritten(claimed, file)] };
  }

  #claimOf({ paths, backingOf, exported }: StoredFileFacts): NeverWritten | undefined {
    // A name that no pattern covers may be the one by which a machine opens the file.
    if (paths.every((path) => this.#matches(path))) return 'administrator';
    if (exported !== undefined) return 'content';
    return this.#coversBacking && backingOf.length > 0 ? 'backing' : undefined;
  }
}

/** For options: the same check before anything is read. Throws: usage, PATTERN_SYNTAX. */
export function checkPatterns(patterns: readonly string[]): void {
  pathMatcher(patterns.filter((pattern) => pattern !== BACKING));
}

function isWritable(permissions: number | undefined): boolean {
  return permissions === undefined || [0o200, 0o020, 0o002].some((bit) => Math.floor(permissions / bit) % 2 === 1);
}

function backingFindings({ backingOf }: StoredFileFacts): Finding[] {
  if (backingOf.length === 0) return [];
  const message = `Backing file of ${plural(backingOf.length, 'image')}: guests do not write it, a block commit does. --never-written counts it with its allocation.`;
  return [{ level: 'info', code: 'IS_BACKING_FILE', message }];
}

function writableBacking(count: number): Finding {
  return {
    level: 'info',
    code: 'BACKING_WRITABLE',
    message: `Backing file of ${plural(count, 'image')}, according to the overlays alone, and its mode permits writing: it counts in full. Remove the write permission (chmod a-w), or list it with --never-written.`,
  };
}

function stillWritten(reason: NeverWritten): Finding {
  const declared = reason === 'content' ? 'Of a kind that guests do not write' : 'Declared as never written';
  return { level: 'warning', code: 'NEVER_WRITTEN_OPEN', message: `${declared}, and open for writing now: it counts in full.` };
}

function neverWritten(reason: NeverWritten, { backingOf, exported }: StoredFileFacts): Finding {
  const why = {
    administrator: 'declared as never written (--never-written)',
    backing: `the backing file of ${plural(backingOf.length, 'image')}, which has no write permission (--never-written backing)`,
    content: `a file that guests do not write (${exported ?? ''}) and that is not open for writing`,
  };
  return { level: 'info', code: 'NEVER_WRITTEN', message: `Counted with its allocation, as ${why[reason]}.` };
}
