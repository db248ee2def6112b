/**
 * How near to trouble a store is: thresholds in bytes, percent and seconds, and its own sum. An alert is raised at once and
 * cleared late, so that a value that swings round its threshold raises it once.
 */
import { formatBytes } from '#base';
import type { Alert, Level, StoreForecast, StoreRules } from '#wire';
import { admits, explainVerdict, type StoreFacts, sumOf } from './admission.ts';
import { formatSeconds } from './durations.ts';
import { distancesTo } from './forecast.ts';

/** A criterion is cleared at once when its value is past the threshold by this share of it, in bytes and percent ... */
export const CLEAR_MARGIN = 0.1;
/** ... by so many times, in seconds, which swing with the growth ... */
export const CLEAR_TIMES = 2;
/** ... and the sum, by this share of the store's size. */
export const CLEAR_SIZE_SHARE = 0.01;
/** Short of that, it is cleared when it has been past the threshold for so long without a break. */
export const CLEAR_HOLD_SECONDS = 600;

export type Criterion = Alert['by'][number];
type Severity = Alert['level'];

/** A criterion that is raised: reached, or not long enough or far enough past its threshold. */
export interface RaisedCriterion {
  readonly level: Severity;
  readonly by: Criterion;
  readonly sinceMs: number;
  /** Since when it has been past its threshold; null: it is reached. */
  readonly clearSinceMs: number | null;
}

/** What is kept of a store between two judgements; plain data. */
export interface LevelState {
  readonly level: Level;
  /** What holds the level: empty for ok and unknown. */
  readonly by: readonly Criterion[];
  /** When the level was taken on. */
  readonly sinceMs: number;
  /** Why the level is unknown. */
  readonly unknown: string | null;
  /** All that is raised, also what holds a lower level. */
  readonly raised: readonly RaisedCriterion[];
}

/** How a criterion stands: far is past its threshold by more than the margin. */
interface Reading {
  readonly level: Severity;
  readonly by: Criterion;
  readonly stands: 'reached' | 'clear' | 'far' | 'unknown';
  readonly unknown: string | null;
}

/**
 * The level of a store at `nowMs`, after `previous`.
 *
 * Critical and warning are reached by bytes, percent or seconds to the floor; warning also by the store's own sum below
 * 0. An unknown threshold neither raises nor clears a level. The level is unknown if no level is raised and a threshold
 * is unknown. A time beyond the reach of the history does not count as reached.
 */
export function judgeLevel(
  previous: LevelState | undefined,
  facts: StoreFacts,
  forecast: StoreForecast,
  rules: StoreRules,
  nowMs: number,
): LevelState {
  const readings = readCriteria(facts, forecast, rules);
  const raised = readings.flatMap((reading) => {
    const before = previous?.raised.find(({ level, by }) => level === reading.level && by === reading.by);
    return raise(reading, before, nowMs) ?? [];
  });
  const unknown = readings.find(({ stands }) => stands === 'unknown')?.unknown ?? null;
  const level = levelOf(raised, unknown);
  return {
    level,
    by: [...new Set(raised.filter((one) => one.level === level).map(({ by }) => by))],
    sinceMs: previous?.level === level ? Math.min(previous.sinceMs, nowMs) : nowMs,
    unknown: level === 'unknown' ? unknown : null,
    raised,
  };
}

function levelOf(raised: readonly RaisedCriterion[], unknown: string | null): Level {
  if (raised.some(({ level }) => level === 'critical')) return 'critical';
  if (raised.length > 0) return 'warning';
  return unknown === null ? 'ok' : 'unknown';
}

function raise({ level, by, stands }: Reading, before: RaisedCriterion | undefined, nowMs: number): RaisedCriterion | undefined {
  if (stands === 'reached') return { level, by, sinceMs: Math.min(before?.sinceMs ?? nowMs, nowMs), clearSinceMs: null };
  if (before === undefined || stands === 'far') return undefined;
  if (stands === 'unknown') return before;
  // A clock that was set back begins the wait anew.
  const clearSinceMs = Math.min(before.clearSinceMs ?? nowMs, nowMs);
  return nowMs - clearSinceMs >= CLEAR_HOLD_SECONDS * 1000 ? undefined : { ...before, clearSinceMs };
}

function readCriteria(facts: StoreFacts, forecast: StoreForecast, rules: StoreRules): Reading[] {
  return [
    ...(['critical', 'warning'] as const).flatMap((level) => [
      ...readDistances(facts, rules, level),
      ...readSeconds(forecast, rules[level].seconds, level),
    ]),
    readSum(facts, rules),
  ];
}

function readDistances(facts: StoreFacts, rules: StoreRules, level: Severity): Reading[] {
  const { bytes, percent } = rules[level];
  const distances = distancesTo(facts, rules, rules[level]);
  const margins = { bytes: CLEAR_MARGIN * (bytes ?? 0), percent: (CLEAR_MARGIN * (percent ?? 0) * facts.size) / 100 };
  return (['bytes', 'percent'] as const).flatMap((by) => {
    if (rules[level][by] === null) return [];
    const distance = facts.size <= 0 ? null : distances[by];
    if (distance === null) return { level, by, stands: 'unknown', unknown: 'The filesystem reports no size.' };
    return { level, by, stands: distance <= 0 ? 'reached' : distance > margins[by] ? 'far' : 'clear', unknown: null };
  });
}

function readSeconds({ toFloor, growth }: StoreForecast, threshold: number | null, level: Severity): Reading[] {
  if (threshold === null) return [];
  // Known growth and no time: too far away to be named.
  const isUnknown = toFloor.outcome === 'unknown' && (growth.unknown !== null || growth.high === null);
  if (isUnknown) return [{ level, by: 'seconds', stands: 'unknown', unknown: toFloor.reason }];
  const seconds = toFloor.earliest ?? Infinity;
  const stands = seconds <= threshold ? 'reached' : seconds > CLEAR_TIMES * threshold ? 'far' : 'clear';
  return [{ level, by: 'seconds', stands, unknown: null }];
}

function readSum(facts: StoreFacts, rules: StoreRules): Reading {
  const sum = sumOf(facts, rules);
  const verdict = admits(sum);
  const reading = { level: 'warning', by: 'policy' } as const;
  if (verdict === null) return { ...reading, stands: 'unknown', unknown: sum.unknown };
  if (!verdict) return { ...reading, stands: 'reached', unknown: null };
  return { ...reading, stands: (sum.remaining ?? 0) > CLEAR_SIZE_SHARE * facts.size ? 'far' : 'clear', unknown: null };
}

/** Where most of the growth is, if it is not in the images. */
function growthSource({ growth, otherGrowth }: StoreFacts): string {
  if ((otherGrowth.high ?? 0) <= (growth.high ?? 0)) return '';
  return ` Most of the growth is in files that are not images: up to ${formatBytes(Math.ceil(otherGrowth.high ?? 0))}/s.`;
}

/** The alert of a level, undefined where there is none. */
export function alertOf(state: LevelState, facts: StoreFacts, forecast: StoreForecast, rules: StoreRules): Alert | undefined {
  const { level } = state;
  if (level !== 'warning' && level !== 'critical') return undefined;
  const reasons = state.by.map((by) => CRITERION_TEXT[by](facts, forecast, rules, level));
  return { store: facts.store, level, by: state.by, since: new Date(state.sinceMs).toISOString(), message: reasons.join(' ') };
}

type CriterionText = (facts: StoreFacts, forecast: StoreForecast, rules: StoreRules, level: Severity) => string;

const CRITERION_TEXT: Readonly<Record<Criterion, CriterionText>> = {
  bytes: ({ available }, _, rules, level) =>
    `${formatBytes(available - rules.floor)} are available above the floor; the threshold is ${formatBytes(rules[level].bytes ?? 0)}.`,
  percent: ({ available, size }, _, rules, level) =>
    `${((100 * available) / size).toFixed(1)} % of the store are available; the threshold is ${rules[level].percent} %.`,
  seconds: (facts, { toFloor }, rules, level) => {
    const threshold = `the threshold is ${formatSeconds(rules[level].seconds ?? 0)}.`;
    if (toFloor.outcome === 'reached') return `The floor is reached; ${threshold}`;
    if (toFloor.earliest === null) return `The time to the floor cannot be estimated now; ${threshold}`;
    return `The floor may be reached in ${formatSeconds(toFloor.earliest)}; ${threshold}${growthSource(facts)}`;
  },
  policy: (facts, _, rules) => explainVerdict(sumOf(facts, rules), facts),
};
