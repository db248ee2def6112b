/** Verdicts on many files: each from a worker of its own, or, where speed counts more, from one that they share. */
import { requireArgument, requireOptions, requirePath, requireSignal } from '#base';
import { inOrder } from './in-order.ts';
import { parsePolicy } from './policy.ts';
import { vetFile, type VetOptions } from './vet-file.ts';
import { outcomeOf, type VetOutcome } from './vet-outcome.ts';
import { vetSharing } from './vet-sharing.ts';

export interface VetManyOptions extends VetOptions {
  /**
   * One confined process reads them all, many times faster. An image that took it over could falsify the verdicts on those
   * that are read after it, and reach nothing else. Without meaning where `unconfined` is set.
   */
  readonly oneWorker?: boolean | undefined;
}

/** Names of files, all known or still to come. */
export type Paths = Iterable<string | Buffer> | AsyncIterable<string | Buffer>;

/** More workers of one image each would only take the processors from what else goes on here. */
const WORKERS_AT_ONCE = 2;

/**
 * Judges the images at `paths`: each outcome as soon as it is there, in their order. One that cannot be judged keeps none
 * of the others from it.
 *
 * Throws: usage, LIBRARY_ARGUMENT, VET_POLICY; the signal's reason; what `paths` throws. All else is an outcome.
 */
export async function* vetMany(paths: Paths, options: VetManyOptions = {}): AsyncGenerator<VetOutcome, void> {
  checkArguments(paths, options);
  const checked = options.policy === undefined ? options : { ...options, policy: parsePolicy(options.policy) };
  // Content that is hashed is read here for each image: there is nothing to share.
  if (checked.oneWorker === true && checked.unconfined !== true && checked.sha256 !== true) yield* vetSharing(checkedPaths(paths), checked);
  else {
    const atOnce = checked.unconfined === true ? 1 : WORKERS_AT_ONCE;
    const task = (path: string | Buffer, signal: AbortSignal): Promise<VetOutcome> =>
      outcomeOf(path, () => vetFile(path, { ...checked, signal }));
    yield* inOrder(checkedPaths(paths), { atOnce, signal: checked.signal, task });
  }
}

function checkArguments(paths: unknown, options: VetManyOptions): void {
  const isIterable = typeof paths === 'object' && paths !== null && (Symbol.iterator in paths || Symbol.asyncIterator in paths);
  // The bytes of one path could be iterated, too.
  requireArgument(isIterable && !(paths instanceof Uint8Array), { call: 'vetMany', name: 'paths', value: paths, expected: 'paths' });
  requireOptions('vetMany', options);
  requireSignal('vetMany', options.signal);
}

async function* checkedPaths(paths: Paths): AsyncGenerator<string | Buffer> {
  for await (const path of paths) {
    requirePath('vetMany', path);
    yield path;
  }
}
