/** How a store stands, in one word, one tone and one sentence. Pure. */
import { formatBytes } from '#base';
import type { StoreView } from '#wire';
import { asClause, plural } from './durations.ts';

/** What the colour, the sign and the word beside it say. */
export type Tone = 'ok' | 'warning' | 'danger' | 'unknown';

export interface Verdict {
  readonly tone: Tone;
  readonly word: string;
  readonly sentence: string;
}

export function verdictOf(store: StoreView): Verdict {
  const { remaining, policy, unknown } = store.sum;
  if (store.presence === 'vanished') {
    return { tone: 'danger', word: 'Vanished', sentence: 'The store is gone. The figures are the last that were seen.' };
  }
  if (remaining === null || (remaining >= 0 && unknown !== null)) {
    const why = asClause(unknown ?? 'a component of the sum is not known');
    return { tone: toneOf(store, 'unknown'), word: wordOf(store, 'Unknown'), sentence: `Whether it fits could not be told: ${why}.` };
  }
  if (remaining < 0) {
    return {
      tone: 'danger',
      word: 'Overloaded',
      sentence: `Below its load line: ${formatBytes(-remaining)} more than it can hold ${DEMAND[policy]}.`,
    };
  }
  const sentence = `${formatBytes(remaining)} left above the waterline; ${FITS[policy]}.`;
  return { tone: toneOf(store, 'ok'), word: wordOf(store, store.level === 'unknown' ? FITS_NOW : 'Fits'), sentence };
}

/** The sum is known and holds; when it will no longer is not known. */
const FITS_NOW = 'Fits now';

const DEMAND = {
  promise: 'are promised',
  growth: 'could come before it is relieved',
  entitled: 'are counted as entitled',
} as const;

const FITS = {
  promise: 'every promised write fits',
  growth: 'what can come before it is relieved fits',
  entitled: 'what is entitled fits',
} as const;

function toneOf({ level }: StoreView, otherwise: Tone): Tone {
  if (level === 'critical') return 'danger';
  return level === 'warning' || level === 'unknown' ? level : otherwise;
}

function wordOf({ level }: StoreView, otherwise: string): string {
  if (level === 'critical') return 'Critical';
  return level === 'warning' ? 'Warning' : otherwise;
}

const RANK: Readonly<Record<Tone, number>> = { danger: 0, warning: 1, unknown: 2, ok: 3 };

/** Worst first; among equals the one with the least left. */
export function byDanger(one: StoreView, other: StoreView): number {
  const byTone = RANK[verdictOf(one).tone] - RANK[verdictOf(other).tone];
  const left = (store: StoreView): number => (store.sum.remaining ?? 0) / Math.max(1, store.size);
  return byTone === 0 ? left(one) - left(other) || compare(one.mount, other.mount) : byTone;
}

function compare(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}

/** By the word of the verdict. */
const SINGLE: Readonly<Record<string, string>> = {
  Fits: 'The store fits under its load line',
  [FITS_NOW]: 'The store fits under its load line; how it grows is not known yet',
  Warning: 'The store is near trouble',
  Critical: 'The store is in danger',
  Overloaded: 'The store is overloaded',
  Vanished: 'The store has vanished',
};

/** The page in a sentence: `1 of 5 stores is overloaded`. */
export function headline(stores: readonly StoreView[]): string {
  if (stores.length === 0) return 'No store is watched';
  const verdicts = stores.map(verdictOf);
  if (stores.length === 1) return SINGLE[verdicts[0]?.word ?? ''] ?? 'The store could not be judged';
  const count = (tone: Tone): number => verdicts.filter((one) => one.tone === tone).length;
  const of = `of ${plural(stores.length, 'store')}`;
  if (count('danger') > 0) return `${count('danger')} ${of} ${count('danger') === 1 ? 'is' : 'are'} in danger`;
  if (count('warning') > 0) return `${count('warning')} ${of} ${count('warning') === 1 ? 'is' : 'are'} near trouble`;
  const untold = verdicts.filter(({ word }) => word === 'Unknown').length;
  if (untold > 0) return `${untold} ${of} could not be judged`;
  return `All ${stores.length} stores fit under their load lines`;
}
