/**
 * How many of a test's cases run. `npm test` runs a fixed share of each long table, so that it ends within minutes;
 * `npm run test:system` runs all of them (PLIMSOLL_DEPTH=full, set by vitest.config.ts).
 */

export const isFullRun = process.env['PLIMSOLL_DEPTH'] === 'full';

/** All cases in a full run; otherwise each `step`-th, beginning at `offset`. Never empty unless `cases` is. */
export function sampled<T>(cases: readonly T[], step: number, offset = 0): readonly T[] {
  if (isFullRun) return cases;
  const chosen = cases.filter((_, index) => index % step === offset % step);
  return chosen.length > 0 ? chosen : cases.slice(0, 1);
}

/** The number of repetitions: `all` in a full run, otherwise `few`. */
export function repetitions(all: number, few: number): number {
  return isFullRun ? all : few;
}
