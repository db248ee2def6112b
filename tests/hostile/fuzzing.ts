/** What all mutation tests do: many images from one seed, counted by what they come to. */
import { asPlimsollError } from '#base';
import { mutate, randomNumbers, requireOnlyMutated, type Subject } from './mutations.ts';

/** One mutated image: what was changed, and what it comes to. */
export interface Attempt {
  readonly changes: readonly string[];
  readonly outcome: () => Promise<string>;
}

/**
 * Attempts without a pause. Where nothing but promises is waited for, the event loop never turns: what zlib puts off until
 * then is kept (a gigabyte a minute when compressed data is read), and no message reaches the test's runner.
 */
const ATTEMPTS_PER_TURN = 64;

/** How often each outcome came. Throws, with the run and its changes, whatever an outcome throws. */
export async function countOutcomes(
  { runs, seed }: { readonly runs: number; readonly seed: number },
  attempt: (random: () => number, run: number) => Attempt,
): Promise<Map<string, number>> {
  const random = randomNumbers(seed);
  const seen = new Map<string, number>();
  for (let run = 0; run < runs; run += 1) {
    if (run % ATTEMPTS_PER_TURN === 0) await new Promise(setImmediate);
    const { changes, outcome } = attempt(random, run);
    const kind = await outcome().catch((error: unknown) => {
      throw new Error(`run ${run}: ${changes.join('; ')}`, { cause: error });
    });
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
  }
  return seen;
}

/** As `countOutcomes`, of `subjects` in turn, each mutated by `mutate` alone. */
export async function countMutations(
  limits: { readonly runs: number; readonly seed: number },
  subjects: readonly Subject[],
  outcomeOf: (bytes: Uint8Array) => Promise<string>,
): Promise<Map<string, number>> {
  const seen = await countOutcomes(limits, (random, run) => {
    const { bytes, changes } = mutate(subjects[run % subjects.length] as Subject, random);
    return { changes, outcome: () => outcomeOf(bytes) };
  });
  for (const one of subjects) requireOnlyMutated(one);
  return seen;
}

/** What `work` gives, or the kind of the error that it throws. A bug is thrown on. */
export async function kindOf(work: () => Promise<string>): Promise<string> {
  try {
    return await work();
  } catch (thrown) {
    const error = asPlimsollError(thrown, 'fuzz');
    if (error.kind === 'bug') throw thrown;
    return error.kind;
  }
}
