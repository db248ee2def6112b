/** Every image below directories, grouped by store; streaming. */
import { type Assumption, ASSUMPTIONS, PlimsollError, requireArgument, requireOptions, requirePaths, requireSignal } from '#base';
import { hostIdentity, isNoDirectory, nameText } from '#host';
import { DEFINITIONS, type ImageReport, type ScanReport } from '#wire';
import { checkPatterns } from './never-written.ts';
import type { StorePolicy } from './store.ts';
import { type Looked, Survey } from './survey.ts';

export interface ScanOptions extends Partial<StorePolicy> {
  /** Further directories (real paths) in which references may be followed; the scanned directories always are. */
  readonly allowDirectories?: readonly string[];
  /** Files that are raw for certain, whatever a guest wrote into their first bytes. */
  readonly rawFiles?: readonly (string | Buffer)[];
  readonly signal?: AbortSignal;
  /** Images examined at a time. */
  readonly concurrency?: number;
}

export type ScanEvent =
  | { readonly type: 'progress'; readonly filesSeen: number; readonly imagesRead: number }
  /** An image as soon as it is read; sharing, and the name of several that stands for it, are known only in the report. */
  | { readonly type: 'image'; readonly image: ImageReport }
  /** The last event. */
  | { readonly type: 'report'; readonly report: ScanReport };

/** Enough to keep the four threads of Node's pool busy. */
export const DEFAULT_CONCURRENCY = 8;

/**
 * Scans `directories`: an event for each image, progress in between, the report of all stores last.
 *
 * Throws: usage, NOT_A_DIRECTORY, when a file is named; the signal's reason when aborted. Everything else is in the report.
 */
export async function* scan(directories: readonly (string | Buffer)[], options: ScanOptions = {}): AsyncGenerator<ScanEvent, void> {
  checkArguments(directories, options);
  for (const directory of directories) refuseFile(directory);
  const {
    allowDirectories = [],
    rawFiles = [],
    concurrency = DEFAULT_CONCURRENCY,
    floor = 0,
    neverWritten = [],
    exclude = [],
    signal,
  } = options;
  const policy = { floor, neverWritten, exclude, assume: options.assume ?? [] };
  const survey = new Survey(directories, { policyOf: () => policy, allowDirectories, rawFiles, concurrency, remembers: false });
  const look = survey.look({ signal });
  try {
    let step = await look.next();
    for (; step.done !== true; step = await look.next()) {
      const event = step.value;
      if (event.type === 'image') yield event;
      else yield { type: 'progress', filesSeen: event.filesSeen, imagesRead: event.imagesRead };
    }
    yield { type: 'report', report: scanReport(step.value) };
  } finally {
    // A consumer that wants no more stops the reading, too.
    await look.return(undefined as never);
  }
}

function scanReport({ stores, errors }: Looked): ScanReport {
  const reports = stores.map(({ report }) => report);
  const unknown = Number.NEGATIVE_INFINITY;
  return {
    schema: 'plimsoll.scan/1',
    host: hostIdentity(),
    definitions: DEFINITIONS,
    stores: reports.sort((a, b) => (a.headroom ?? unknown) - (b.headroom ?? unknown)),
    errors,
  };
}

/** Throws: usage, for what the types of a library call rule out. */
function checkArguments(directories: unknown, options: ScanOptions): void {
  const call = 'scan()';
  const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
  requireArgument(Array.isArray(directories), { call, name: 'directories', value: directories, expected: 'an array of paths' });
  requirePaths(call, 'directories', directories);
  requireOptions(call, options);
  const { floor, concurrency } = options;
  requireArgument(floor === undefined || isCount(floor), {
    call,
    name: 'floor',
    value: floor,
    expected: 'a whole number of bytes',
  });
  requireArgument(options.assume === undefined || isListOfAssumptions(options.assume), {
    call,
    name: 'assume',
    value: options.assume,
    expected: `a list of ${ASSUMPTIONS.join(', ')}`,
  });
  for (const name of ['neverWritten', 'exclude'] as const) {
    const value = options[name];
    const isRight = value === undefined || (Array.isArray(value) && value.every((one) => typeof one === 'string'));
    requireArgument(isRight, { call, name, value, expected: 'an array of patterns' });
    checkPatterns(value ?? []);
  }
  requireArgument(concurrency === undefined || (isCount(concurrency) && concurrency > 0), {
    call,
    name: 'concurrency',
    value: concurrency,
    expected: 'a positive integer',
  });
  requirePaths(call, 'allowDirectories', options.allowDirectories);
  requirePaths(call, 'rawFiles', options.rawFiles);
  requireSignal(call, options.signal);
}

function isListOfAssumptions(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => ASSUMPTIONS.includes(one as Assumption));
}

/** Throws: usage, NOT_A_DIRECTORY. A directory is what is scanned, and a mistake must not look like an empty store. */
export function refuseFile(directory: string | Buffer): void {
  if (!isNoDirectory(directory)) return;
  throw new PlimsollError('usage', 'NOT_A_DIRECTORY', {
    doing: 'scan',
    image: nameText(directory),
    found: 'not a directory',
    expected: 'a directory to search; for single images use `plimsoll info`',
  });
}
