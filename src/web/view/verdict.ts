/** The state of a store in one word, one tone and one sentence. Pure. */
import { formatBytes } from '#base';
import type { StoreView } from '#wire';
import { asClause, plural } from './durations.ts';

/** The meaning of the colour and the icon. */
export type Tone = 'ok' | 'warning' | 'danger' | 'unknown';

export interface Verdict {
  readonly tone: Tone;
  readonly word: string;
  readonly sentence: string;
}

export function verdictOf(store: StoreView): Verdict {
  const { remaining, policy, unknown } = store.sum;
  if (store.presence === 'vanished') {
    return { tone: 'danger', word: 'Disappeared', sentence: 'The store has disappeared. Showing the last known figures.' };
  }
  if (remaining === null || (remaining >= 0 && unknown !== null)) {
    const why = asClause(unknown ?? 'a component of the sum is unknown');
    return { tone: toneOf(store, 'unknown'), word: wordOf(store, 'Unknown'), sentence: `Fit unknown: ${why}.` };
  }
  if (remaining < 0) {
    return {
      tone: 'danger',
      word: 'Overcommitted',
      sentence: `Overcommitted by ${formatBytes(-remaining)}. ${DEMAND[policy]}.`,
    };
  }
  const sentence = `${formatBytes(remaining)} remaining; ${FITS[policy]}.`;
  return { tone: toneOf(store, 'ok'), word: wordOf(store, store.level === 'unknown' ? FITS_NOW : 'Fits'), sentence };
}

/** The sum is known and has no shortfall; when that will change is unknown. */
const FITS_NOW = 'Fits now';

const DEMAND = {
  promise: 'Not every future guest write fits',
  growth: 'The expected growth until an administrator can react does not fit',
  entitled: 'The allocation and the entitled share of the residual do not fit',
} as const;

const FITS = {
  promise: 'every future guest write fits',
  growth: 'the expected growth until an administrator can react fits',
  entitled: 'the allocation and the entitled share of the residual fit',
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

/** Worst first; among equals the one with the least remaining. */
export function worstFirst(one: StoreView, other: StoreView): number {
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
  Fits: 'The store is not overcommitted',
  [FITS_NOW]: 'The store is not overcommitted; its growth is not known yet',
  Warning: 'The store is at warning level',
  Critical: 'The store is at critical level',
  Overcommitted: 'The store is overcommitted',
  Disappeared: 'The store has disappeared',
};

/** The page in one sentence: `1 of 5 stores is overcommitted`. */
export function headline(stores: readonly StoreView[]): string {
  if (stores.length === 0) return 'No store is monitored';
  const verdicts = stores.map(verdictOf);
  if (stores.length === 1) return SINGLE[verdicts[0]?.word ?? ''] ?? 'The state of the store is unknown';
  const count = (tone: Tone): number => verdicts.filter((one) => one.tone === tone).length;
  const of = `of ${plural(stores.length, 'store')}`;
  if (count('danger') > 0) return `${count('danger')} ${of} ${count('danger') === 1 ? 'is' : 'are'} in critical state`;
  if (count('warning') > 0) return `${count('warning')} ${of} ${count('warning') === 1 ? 'is' : 'are'} in warning state`;
  const untold = verdicts.filter(({ word }) => word === 'Unknown').length;
  if (untold > 0) return `${untold} ${of} in an unknown state`;
  return `None of the ${stores.length} stores is overcommitted`;
}
