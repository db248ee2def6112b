/** Times and rates as text, rounded to the precision that they support. */
import { formatBytes } from '#base';
import type { Growth, Outlook } from '#wire';

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;
const YEAR = 365 * DAY;

/** `seconds` in the unit that leaves one or two digits: `45 s`, `12 min`, `3 h`, `9 days`, `7 months`, `12 years`. */
export function formatDuration(seconds: number): string {
  const length = Math.max(0, seconds);
  if (length < 90) return `${Math.round(length)} s`;
  if (length < 90 * MINUTE) return `${Math.round(length / MINUTE)} min`;
  if (length < 36 * HOUR) return `${Math.round(length / HOUR)} h`;
  if (length < 90 * DAY) return plural(Math.round(length / DAY), 'day');
  if (length < 2 * YEAR) return plural(Math.round((length / YEAR) * 12), 'month');
  return length < 100 * YEAR ? plural(Math.round(length / YEAR), 'year') : 'more than 100 years';
}

export function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en-GB')} ${noun}${count === 1 ? '' : 's'}`;
}

/** From the earlier to the later, with the unit once if it is the same: `9 to 21 days`. */
function formatSpan(earliest: number, latest: number): string {
  const [from, to] = [formatDuration(earliest), formatDuration(latest)];
  if (from === to) return from;
  const [count = '', ...unit] = from.split(' ');
  return to.endsWith(` ${unit.join(' ')}`) ? `${count} to ${to}` : `${from} to ${to}`;
}

/** When it is reached: `in 9 to 21 days`, `now`, `never`, `unknown`. Without the reason. */
export function describeOutlook({ outcome, earliest, latest }: Outlook): string {
  if (outcome === 'reached') return 'now';
  if (outcome === 'never') return 'never';
  if (outcome === 'unknown' || (earliest === null && latest === null)) return 'unknown';
  if (earliest === null) return `in ${formatDuration(latest ?? 0)} at the latest`;
  return latest === null ? `in ${formatDuration(earliest)} at the earliest` : `in ${formatSpan(earliest, latest)}`;
}

/** A reason from the server, a sentence, as part of another: without its capital and its full stop. */
export function asClause(reason: string): string {
  const begin = /^[A-Z](?![A-Z])/.test(reason) ? reason.slice(0, 1).toLowerCase() + reason.slice(1) : reason;
  return begin.replace(/\.$/, '');
}

/** Bytes a day: `1.20 GiB to 3 GiB`, `none`, `unknown`; a figure and its unit stay on one line. */
export function describeGrowth({ low, high }: Growth): string {
  if (low === null || high === null) return 'unknown';
  if (low === 0 && high === 0) return 'none';
  const [slow = '', fast = ''] = [low, high].map((rate) => formatBytes(Math.round(rate * DAY)).replace(' ', '\u00a0'));
  return slow === fast ? fast : `${slow} to ${fast}`;
}

/** The age, `just now` below 3 seconds. */
export function describeAge(fromMs: number, nowMs: number): string {
  const seconds = (nowMs - fromMs) / 1000;
  return seconds < 3 ? 'just now' : `${formatDuration(seconds)} ago`;
}

/** The time left, `over` when it is past. */
export function describeUntil(untilMs: number, nowMs: number): string {
  return untilMs <= nowMs ? 'over' : `in ${formatDuration((untilMs - nowMs) / 1000)}`;
}

const UNITS: Readonly<Record<string, number>> = { '': 1, s: 1, m: MINUTE, min: MINUTE, h: HOUR, d: DAY };

/** Seconds of a duration such as `15m`, `2h`, `90s` or `1d`; undefined if it is not one. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9})\s*([a-z]*)$/i.exec(text.trim());
  const unit = UNITS[(match?.[2] ?? '?').toLowerCase()];
  const seconds = unit === undefined ? 0 : Number(match?.[1]) * unit;
  return seconds > 0 ? seconds : undefined;
}

/** A moment in the browser's time zone: `23 Nov 18:32`, with the year if it is another one. */
export function formatMoment(atMs: number, nowMs: number): string {
  const at = new Date(atMs);
  const isThisYear = at.getFullYear() === new Date(nowMs).getFullYear();
  return at.toLocaleString('en-GB', {
    day: 'numeric',
    month: 'short',
    ...(isThisYear ? {} : { year: 'numeric' }),
    hour: '2-digit',
    minute: '2-digit',
  });
}
