/**
 * The shapes of the daemon's answers. An answer of another shape is rejected: a missing property must never be read as a
 * yes. Unlisted properties are permitted, since newer daemons add some.
 */
import type { AdmissionDecision, Reservation, StatusReport } from '#wire';

type Check = (value: unknown) => boolean;

const text: Check = (value) => typeof value === 'string';
const flag: Check = (value) => typeof value === 'boolean';
const number: Check = (value) => typeof value === 'number' && Number.isFinite(value);
const bytes: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const oneOf =
  (...values: readonly string[]): Check =>
  (value) =>
    values.includes(value as string);
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const object =
  (properties: Readonly<Record<string, Check>>): Check =>
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    Object.entries(properties).every(([name, check]) => check((value as Readonly<Record<string, unknown>>)[name]));

const POLICY = oneOf('promise', 'growth', 'entitled');
// Separate from the message: a test would take the two together for a constructed error.
const CODE = { code: text };
const FINDING = object({ level: oneOf('info', 'warning', 'critical'), ...CODE, message: text });
const SUM = object({
  policy: POLICY,
  components: listOf(object({ ...CODE, name: text, bytes: number, explanation: optional(text) })),
  remaining: orNull(number),
  unknown: orNull(text),
});
const RESERVATION = object({
  key: text,
  store: text,
  bytes,
  path: orNull(text),
  createdAt: text,
  expiresAt: text,
  state: oneOf('held', 'released', 'expired', 'fulfilled'),
});
const DECISION = object({
  schema: oneOf('plimsoll.admission/1'),
  admitted: orNull(flag),
  store: text,
  bytes,
  sum: SUM,
  message: text,
  scannedAt: text,
  reservation: orNull(RESERVATION),
});
const OUTLOOK = object({
  outcome: oneOf('reached', 'expected', 'never', 'unknown'),
  earliest: orNull(number),
  latest: orNull(number),
  reason: orNull(text),
});
const GROWTH = object({ low: orNull(number), high: orNull(number), samples: number, spanSeconds: number, unknown: orNull(text) });
const LEVEL_RULE = object({ bytes: orNull(bytes), percent: orNull(number), seconds: orNull(number) });
const RULES = object({
  policy: POLICY,
  idleShare: number,
  floor: bytes,
  noticeSeconds: number,
  relieveSeconds: number,
  warning: LEVEL_RULE,
  critical: LEVEL_RULE,
});
const STORE = object({
  id: text,
  mount: text,
  type: text,
  size: bytes,
  used: bytes,
  available: bytes,
  allocation: bytes,
  commitment: orNull(bytes),
  residual: orNull(bytes),
  shared: bytes,
  headroom: orNull(number),
  fits: orNull(flag),
  findings: listOf(FINDING),
  directories: listOf(text),
  presence: oneOf('present', 'vanished'),
  imageCount: number,
  unreadableCount: number,
  reserved: bytes,
  rules: RULES,
  level: oneOf('ok', 'warning', 'critical', 'unknown'),
  alerts: listOf(object({ level: oneOf('warning', 'critical'), message: text })),
  sum: SUM,
  forecast: object({ growth: GROWTH, toWarning: OUTLOOK, toCritical: OUTLOOK, toFloor: OUTLOOK, toFull: OUTLOOK }),
  scannedAt: orNull(text),
});
const STATUS = object({
  schema: oneOf('plimsoll.status/1'),
  version: text,
  startedAt: text,
  stores: listOf(STORE),
  findings: listOf(FINDING),
});

export function isStatus(value: unknown): value is StatusReport {
  return STATUS(value);
}

export function isReservation(value: unknown): value is Reservation {
  return RESERVATION(value);
}

/** A decision whose parts agree: with a yes, the sum is known and has no shortfall. */
export function isDecision(value: unknown): value is AdmissionDecision {
  if (!DECISION(value)) return false;
  const { admitted, sum } = value as AdmissionDecision;
  return admitted !== true || (sum.remaining !== null && sum.remaining >= 0);
}
