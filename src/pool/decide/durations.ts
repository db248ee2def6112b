/** Stretches of time for people, in sentences about stores. */

const UNITS = [
  { name: 'days', seconds: 86_400 },
  { name: 'h', seconds: 3600 },
  { name: 'min', seconds: 60 },
] as const;

/** `seconds` in the largest unit of which there are at least two, rounded down: `45 s`, `90 min`, `30 h`, `12 days`. */
export function formatSeconds(seconds: number): string {
  const unit = UNITS.find((one) => seconds >= 2 * one.seconds);
  return unit === undefined ? `${Math.floor(seconds)} s` : `${Math.floor(seconds / unit.seconds)} ${unit.name}`;
}
