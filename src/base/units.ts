/** Formats byte counts in IEC units and parses sizes with the suffixes of qemu-img. */
import { PlimsollError } from './errors.ts';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const;

/** `bytes` in the largest IEC unit that leaves at least 1, three significant figures or two decimals: `40.01 GiB`. */
export function formatBytes(bytes: number): string {
  const sign = bytes < 0 ? '-' : '';
  let value = Math.abs(bytes);
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  if (unit > 0 && unit < UNITS.length - 1 && value >= 1023.995) {
    value /= 1024;
    unit += 1;
  }
  const text = unit === 0 || Number.isInteger(value) ? String(value) : value.toFixed(2);
  return `${sign}${text} ${UNITS[unit]}`;
}

/** The exact count with thousands separated: `42,956,488,704`. */
export function formatExact(bytes: number): string {
  return String(bytes).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

const SUFFIXES: Readonly<Record<string, number>> = { '': 0, b: 0, k: 1, m: 2, g: 3, t: 4, p: 5, e: 6 };

/**
 * Bytes of a size as qemu-img writes it: `40G`, `1.5T`, `512`, `64KiB`; K, M, G, T, P, E are powers of 1024.
 *
 * Throws: usage, for `GB` (ambiguous), fractions of a byte, and anything from 2^53 on.
 */
export function parseSize(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const unit = (match?.[2] ?? '').toLowerCase();
  const doing = `parse ${option}`;
  if (match === null) {
    throw new PlimsollError('usage', 'SIZE_SYNTAX', { doing, found: text, expected: 'a size such as 40G, 512M or 1.5T' });
  }
  if (/^[kmgtpe]b$/.test(unit)) {
    throw new PlimsollError('usage', 'SIZE_AMBIGUOUS', {
      doing,
      found: text,
      expected: `${match[1]}${unit[0]?.toUpperCase()}iB (powers of 1024); "${unit.toUpperCase()}" could mean 1000 or 1024`,
    });
  }
  const power = SUFFIXES[unit.replace(/ib$/, '')];
  if (power === undefined) {
    throw new PlimsollError('usage', 'SIZE_SYNTAX', { doing, found: text, expected: 'one of the suffixes K, M, G, T, P' });
  }
  const bytes = Number(match[1]) * 1024 ** power;
  if (!Number.isSafeInteger(bytes)) {
    throw new PlimsollError('usage', 'SIZE_RANGE', { doing, found: text, expected: 'a whole number of bytes below 8 PiB' });
  }
  return bytes;
}

const SECONDS_OF: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/**
 * Seconds of a duration such as `90s`, `15m`, `24h`, `7d`, `2w` or `1h30m`, largest unit first.
 *
 * Throws: usage, DURATION_SYNTAX, also for a number without a unit, which could mean anything.
 */
export function parseDuration(text: string, option: string): number {
  const match =
    /^(?:(\d{1,9}(?:\.\d{1,3})?)w)?(?:(\d{1,9}(?:\.\d{1,3})?)d)?(?:(\d{1,9}(?:\.\d{1,3})?)h)?(?:(\d{1,9}(?:\.\d{1,3})?)m)?(?:(\d{1,9}(?:\.\d{1,3})?)s)?$/i.exec(
      text.trim(),
    );
  const units = ['w', 'd', 'h', 'm', 's'];
  const parts = units.map((unit, index) => Number(match?.[index + 1] ?? 0) * (SECONDS_OF[unit] ?? 0));
  if (match !== null && text.trim() !== '') return parts.reduce((sum, part) => sum + part, 0);
  throw new PlimsollError('usage', 'DURATION_SYNTAX', {
    doing: `parse ${option}`,
    found: text,
    expected: 'a duration such as 90s, 15m, 24h, 7d or 1h30m',
  });
}

/** A count with its noun: `1 snapshot`, `2 snapshots`; `2 processes` where `many` is given. */
export function plural(count: number, noun: string, many = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : many}`;
}
