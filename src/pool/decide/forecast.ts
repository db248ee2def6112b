/** When growth leads a store to trouble: not past what its images can come to, and no further than the history supports. */
import type { Growth, LevelRule, Outlook, StoreForecast, StoreRules } from '#wire';
import { type StoreFacts, sumOf } from './admission.ts';
import { formatSeconds } from './durations.ts';

export { growthOf, type SizePoint } from './growth.ts';

/** No time further away than so many times the span of the history is named: the history does not support it. */
export const EXTRAPOLATION = 10;

/**
 * When something is reached that is `distance` bytes away, at `growth`.
 *
 * `mostToCome`: the most that can still be written; what is further away is never reached. Rewritten data and what others
 * write are not in it: the caller knows whether anything else can fill the distance.
 *
 * Earliest and latest are whole seconds, rounded away from each other. No time is named beyond EXTRAPOLATION times the
 * span of the history: latest is null then, and where even the earliest lies beyond, the outcome is unknown.
 */
export function outlookTo(distance: number | null, growth: Growth, mostToCome: number | null): Outlook {
  if (distance === null) return unknownOutlook('The distance to it is unknown.');
  if (distance <= 0) return REACHED;
  if (mostToCome !== null && mostToCome < distance) return NEVER;
  return outlookAt(growth, (bound) => secondsTo(distance, { images: growth[bound] ?? 0, others: 0, residual: mostToCome }));
}

const REACHED: Outlook = { outcome: 'reached', earliest: 0, latest: 0, reason: null };
const NEVER: Outlook = { outcome: 'never', earliest: null, latest: null, reason: 'Not even if every image is filled.' };

function unknownOutlook(reason: string): Outlook {
  return { outcome: 'unknown', earliest: null, latest: null, reason };
}

/** The outlook whose seconds at the low and high growth `secondsAt` knows; null: that does not lead there. */
function outlookAt(growth: Growth, secondsAt: (bound: 'low' | 'high') => number | null): Outlook {
  if (growth.low === null || growth.high === null) return unknownOutlook(growth.unknown ?? 'Growth is unknown.');
  const seen = formatSeconds(growth.spanSeconds);
  if (growth.high === 0) return unknownOutlook(`No growth in the ${seen} of history: the time cannot be estimated.`);
  const support = EXTRAPOLATION * growth.spanSeconds;
  const [earliest, latest] = [secondsAt('high'), secondsAt('low')];
  if (earliest === null || earliest > support) {
    return unknownOutlook(
      `Not within ${formatSeconds(support)} at the observed growth; ${seen} of history do not support a longer forecast.`,
    );
  }
  const isTold = latest !== null && latest <= support;
  const reason = latest === null ? 'At the low growth it is never reached.' : `At the low growth not within ${formatSeconds(support)}.`;
  return { outcome: 'expected', earliest: Math.floor(earliest), latest: isTold ? Math.ceil(latest) : null, reason: isTold ? null : reason };
}

/** Bytes per second, the first of them only until `residual` is written; null: no end is known. */
interface Rates {
  readonly images: number;
  readonly others: number;
  readonly residual: number | null;
}

/** Seconds until `distance` bytes have come; null: at these rates they never do. */
function secondsTo(distance: number, { images, others, residual }: Rates): number | null {
  if (distance <= 0) return 0;
  const rate = images + others;
  const seconds = rate > 0 ? distance / rate : null;
  if (residual === null || images <= 0) return seconds;
  if (seconds !== null && images * seconds <= residual) return seconds;
  return others > 0 ? (distance - residual) / others : null;
}

/**
 * When a store comes to each of its levels, to its floor, and is full.
 *
 * Images grow until their residual is written, everything else without an end. What is reserved is not there yet and
 * does not grow; the store's sum counts it. A warning is reached by bytes, percent, seconds or the store's sum, whichever
 * comes first; only the first three come nearer with time.
 */
export function forecastStore(given: StoreFacts, rules: StoreRules): StoreForecast {
  // Where data is copied on write, what the images may still write does not bound what they take.
  const facts = given.copyOnWriteReserve === undefined ? given : { ...given, residual: null };
  const growth = together(facts.growth, facts.otherGrowth);
  const aboveFloor = facts.available - rules.floor;
  const isShort = (sumOf(given, rules).remaining ?? 0) < 0;
  return {
    growth,
    toWarning: isShort ? REACHED : toLevel(facts, rules, 'warning', growth),
    toCritical: toLevel(facts, rules, 'critical', growth),
    toFloor: toDistance(facts, aboveFloor, growth),
    toFull: toDistance(facts, facts.available, growth),
  };
}

/** Growth of both at once, as long as either history is. */
function together(images: Growth, others: Growth): Growth {
  const [low, high] = [sumOrNull(images.low, others.low), sumOrNull(images.high, others.high)];
  return {
    low: high === null ? null : low,
    high: low === null ? null : high,
    samples: Math.min(images.samples, others.samples),
    spanSeconds: Math.min(images.spanSeconds, others.spanSeconds),
    unknown: images.unknown ?? others.unknown,
  };
}

function sumOrNull(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : a + b;
}

function toDistance(facts: StoreFacts, distance: number, growth: Growth): Outlook {
  if (facts.size <= 0) return unknownOutlook('The filesystem reports no size.');
  if (distance <= 0) return REACHED;
  const { residual } = facts;
  if (residual !== null && residual < distance && facts.otherGrowth.high === 0) return NEVER;
  return outlookAt(growth, (bound) => secondsTo(distance, ratesAt(facts, bound)));
}

function ratesAt({ growth, otherGrowth, residual }: StoreFacts, bound: 'low' | 'high'): Rates {
  return { images: growth[bound] ?? 0, others: otherGrowth[bound] ?? 0, residual };
}

/** When it comes to be `seconds` from `distance` being gone at the high growth, which stays as it is whatever comes. */
function toSecondsBefore(facts: StoreFacts, distance: number, seconds: number, growth: Growth): Outlook {
  const outlook = toDistance(facts, distance, growth);
  if (outlook.outcome !== 'expected' || outlook.earliest === null) return outlook;
  if (outlook.earliest <= seconds) return REACHED;
  const earliest = outlook.earliest - seconds;
  const { images, others, residual } = ratesAt(facts, 'high');
  const { latest, reason } = outlookAt(growth, (bound) => {
    const rates = ratesAt(facts, bound);
    const uncapped = secondsTo(distance - (images + others) * seconds, rates);
    if (residual === null) return uncapped;
    // Whatever the images have written by then, with what is left to them it is their residual: others have to bring the rest.
    const capped = secondsTo(distance - residual - others * seconds, { images: 0, others: rates.others, residual: null });
    return uncapped === null || capped === null ? null : Math.max(uncapped, capped);
  });
  return { outcome: 'expected', earliest, latest: latest === null ? null : Math.max(earliest, latest), reason };
}

/**
 * Bytes until available space has come down to a level's thresholds; 0 and less: it has. null: none is set.
 *
 * What `judgeLevel` goes by, and the moves that lead back above a level.
 */
export function distancesTo(
  facts: StoreFacts,
  { floor }: StoreRules,
  { bytes, percent }: LevelRule,
): Record<'bytes' | 'percent', number | null> {
  return {
    bytes: bytes === null ? null : facts.available - floor - bytes,
    percent: percent === null || facts.size <= 0 ? null : Math.ceil(facts.available - (percent / 100) * facts.size),
  };
}

/** The first of a level's thresholds to be reached. */
function toLevel(facts: StoreFacts, rules: StoreRules, level: 'warning' | 'critical', growth: Growth): Outlook {
  const { bytes, percent } = distancesTo(facts, rules, rules[level]);
  const { seconds } = rules[level];
  const outlooks = [
    ...(bytes === null ? [] : [toDistance(facts, bytes, growth)]),
    ...(percent === null ? [] : [toDistance(facts, percent, growth)]),
    ...(seconds === null ? [] : [toSecondsBefore(facts, facts.available - rules.floor, seconds, growth)]),
  ];
  if (facts.size <= 0) return unknownOutlook('The filesystem reports no size.');
  if (outlooks.length === 0) return unknownOutlook('The level has no threshold.');
  return outlooks.reduce(soonest);
}

/** What of two is reached first. Of the same growth, what is not known of one lies beyond what is known of the other. */
function soonest(a: Outlook, b: Outlook): Outlook {
  const order = ['reached', 'expected', 'unknown', 'never'] as const;
  const [first, second] = order.indexOf(a.outcome) <= order.indexOf(b.outcome) ? [a, b] : [b, a];
  if (second.outcome !== 'expected' || first.outcome !== 'expected') return first;
  const latest = nearer(a.latest, b.latest);
  return { outcome: 'expected', earliest: nearer(a.earliest, b.earliest), latest, reason: latest === null ? a.reason : null };
}

function nearer(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}
