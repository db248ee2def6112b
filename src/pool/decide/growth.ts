/**
 * How fast something grows, by its history.
 *
 * Growth has two bounds, from the slopes of windows laid over the history at even steps (what lies between two samples is
 * taken as even). A window of fixed length sees the same at any rate of sampling, and a quantile of many windows is
 * deaf to the single odd one, as Theil and Sen's median of slopes is.
 *
 *   low    the 10 % quantile of long windows: slower than this it hardly ever went on average
 *   high   the largest of: the 95 % quantile of short windows, which finds bursts of one hour in twenty and passes over a
 *          single step; the 90 % quantile of long windows, in which steps that come again and again add up; and what is
 *          going on right now, so that a burst counts when it begins
 */
import { plural } from '#base';
import type { Growth } from '#wire';
import { formatSeconds } from './durations.ts';

/** A size at a time, in milliseconds since 1970. */
export interface SizePoint {
  readonly atMs: number;
  readonly bytes: number;
}

/** With fewer samples, or a shorter time, growth is unknown. */
export const MIN_SAMPLES = 10;
export const MIN_SPAN_SECONDS = 600;
/** What is older says little of today. A week holds the pattern of a week. */
export const LOOK_BACK_SECONDS = 7 * 86_400;
/** Without a sample for so long, or for three times what is usual between two, what goes on now is unknown. */
export const MAX_SILENCE_SECONDS = 3600;

/** As long as it takes to relieve a store by default: growth in bursts of this length is what the policy growth is about. */
const SHORT_WINDOW_SECONDS = 1800;
/** What goes on right now is told from no less than this. */
const RECENT_SECONDS = 180;
const RECENT_STEPS = 3;
/** Windows begin this often in each other's length. */
const OVERLAP = 2;
const LONG_OVERLAP = 10;

/**
 * How fast the size of `points` grows, in whole bytes per second, low rounded down and high up.
 *
 * `points` in the order in which they were recorded. Where the clock was set back, the older samples that now lie at the
 * same time or later give way; samples of the future are left out; a clock set forward makes a stretch look slower. What
 * a single sample interval brought (an image that was created, or copied here) is not taken for what is going on now.
 * What is freed lowers `low`, which may be negative, and never makes `high` less than 0.
 *
 * Bounds: linear in the number of points, and about 700 windows.
 */
export function growthOf(points: readonly SizePoint[], nowMs: number): Growth {
  const history = inOrder(points, nowMs);
  const span = spanOf(history);
  const seen = { samples: history.length, spanSeconds: Math.floor(span) };
  const unknown = whyUnknown(history, nowMs);
  if (unknown !== null) return { low: null, high: null, ...seen, unknown };
  const short = Math.min(span / 2, Math.max(Math.min(SHORT_WINDOW_SECONDS, span / 4), 2 * medianStep(history)));
  const long = Math.max(short, span / 4);
  const shortSlopes = windowSlopes(history, short, short / OVERLAP);
  const longSlopes = windowSlopes(history, long, long / LONG_OVERLAP);
  const high = Math.max(0, quantile(shortSlopes, 0.95), quantile(longSlopes, 0.9), recentSlope(history, short));
  const low = Math.min(high, quantile(longSlopes, 0.1));
  return { low: Math.floor(low), high: Math.ceil(high), ...seen, unknown: null };
}

/** A sample, in seconds. */
interface Sample {
  readonly at: number;
  readonly bytes: number;
}

/** The samples that count, ascending in time, no two at once. */
function inOrder(points: readonly SizePoint[], nowMs: number): Sample[] {
  const kept: Sample[] = [];
  for (const { atMs, bytes } of points) {
    if (!Number.isFinite(atMs) || !Number.isFinite(bytes) || atMs > nowMs || atMs < nowMs - LOOK_BACK_SECONDS * 1000) continue;
    const at = atMs / 1000;
    while (kept.length > 0 && (kept.at(-1) as Sample).at >= at) kept.pop();
    kept.push({ at, bytes });
  }
  return kept;
}

function spanOf(history: readonly Sample[]): number {
  return history.length === 0 ? 0 : (history.at(-1) as Sample).at - (history[0] as Sample).at;
}

/** Median of the time between two samples; 0 without any. */
function medianStep(history: readonly Sample[]): number {
  return quantile(
    history.slice(1).map(({ at }, index) => at - (history[index] as Sample).at),
    0.5,
  );
}

function whyUnknown(history: readonly Sample[], nowMs: number): string | null {
  const span = spanOf(history);
  if (history.length < MIN_SAMPLES || span < MIN_SPAN_SECONDS) {
    const has = history.length === 0 ? 'no samples' : `${plural(history.length, 'sample')} over ${formatSeconds(span)}`;
    return `The history has ${has}; estimating growth needs ${MIN_SAMPLES} samples over ${formatSeconds(MIN_SPAN_SECONDS)}.`;
  }
  const silence = nowMs / 1000 - (history.at(-1) as Sample).at;
  if (silence <= Math.max(MAX_SILENCE_SECONDS, 3 * medianStep(history))) return null;
  return `The latest sample is ${formatSeconds(silence)} old.`;
}

/** Slopes of windows of `length` seconds that end every `step` seconds, counted back from the last sample. */
function windowSlopes(history: readonly Sample[], length: number, step: number): number[] {
  const [first, last] = [(history[0] as Sample).at, (history.at(-1) as Sample).at];
  // A window that begins a rounding error before the first sample is whole.
  const count = Math.floor((last - first - length) / step + 1e-6) + 1;
  const [starts, ends] = [new SizeReader(history), new SizeReader(history)];
  const slopes: number[] = [];
  for (let index = count - 1; index >= 0; index -= 1) {
    const end = last - index * step;
    slopes.push((ends.at(end) - starts.at(end - length)) / length);
  }
  return slopes;
}

/** The size at any time inside a history, evenly between samples; times are asked for in ascending order. */
class SizeReader {
  readonly #history: readonly Sample[];
  #next = 1;

  constructor(history: readonly Sample[]) {
    this.#history = history;
  }

  at(time: number): number {
    while (this.#next < this.#history.length - 1 && (this.#history[this.#next] as Sample).at < time) this.#next += 1;
    const [before, after] = [this.#history[this.#next - 1] as Sample, this.#history[this.#next] as Sample];
    const share = Math.min(1, Math.max(0, (time - before.at) / (after.at - before.at)));
    return before.bytes + share * (after.bytes - before.bytes);
  }
}

/**
 * The fastest of the stretches that end with the last sample, up to `length` seconds back: each without the sample
 * interval that brought most, which may be a step that does not come again.
 */
function recentSlope(history: readonly Sample[], length: number): number {
  const last = history.at(-1) as Sample;
  let fastest = 0;
  let most = { bytes: -Infinity, seconds: 0 };
  for (let index = history.length - 2; index >= 0; index -= 1) {
    const [from, to] = [history[index] as Sample, history[index + 1] as Sample];
    if (to.bytes - from.bytes > most.bytes) most = { bytes: to.bytes - from.bytes, seconds: to.at - from.at };
    const steps = history.length - 1 - index;
    const seconds = last.at - from.at;
    if (steps > RECENT_STEPS && seconds > length) break;
    if (steps < RECENT_STEPS || seconds < RECENT_SECONDS) continue;
    fastest = Math.max(fastest, (last.bytes - from.bytes - most.bytes) / (seconds - most.seconds));
  }
  return fastest;
}

/** The value below which a share `at` of `values` lies, evenly between the two next to it; 0 without any. */
function quantile(values: readonly number[], at: number): number {
  const sorted = Float64Array.from(values).sort();
  if (sorted.length === 0) return 0;
  const place = at * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(place)] as number, sorted[Math.ceil(place)] as number];
  return below + (place - Math.floor(place)) * (above - below);
}
