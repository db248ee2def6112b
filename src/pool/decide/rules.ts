/** What a store must satisfy: the default rules, and the merging and validation of configured ones. */
import { type Assumption, ASSUMPTIONS, PlimsollError } from '#base';
import { type LevelRule, POLICIES, type StoreRules } from '#wire';
import { checkPatterns } from '../scan/never-written.ts';

const HOUR = 3600;

/**
 * A store's default rules: the promise, no floor; a warning at a fifth available or a day from full.
 *
 * 1,800 s of relief are 1.8 TB copied at 1 GB/s, or 200 GB over a network of 1 Gbit/s.
 */
export const DEFAULT_RULES: StoreRules = {
  policy: 'promise',
  idleShare: 0.25,
  floor: 0,
  assume: [],
  neverWritten: [],
  exclude: [],
  noticeSeconds: 60,
  relieveSeconds: 1800,
  warning: { bytes: null, percent: 20, seconds: 24 * HOUR },
  critical: { bytes: null, percent: 5, seconds: 4 * HOUR },
};

/** Rules of which any may be left out; null in a level takes a threshold away. */
export type PartialRules = Partial<Omit<StoreRules, 'warning' | 'critical'>> & {
  readonly warning?: Partial<LevelRule>;
  readonly critical?: Partial<LevelRule>;
};

/** Longer than anybody waits, short enough that bytes per second × seconds stay exact. */
const MAX_SECONDS = 10 * 366 * 24 * HOUR;

/**
 * `base` with what `changes` sets, level by level.
 *
 * `doing` begins the message of an error: `read the rules of /srv/vm`.
 * Throws: usage, RULE_VALUE (a value out of its range), RULE_ORDER (critical would come before warning).
 */
export function mergeRules(base: StoreRules, changes: PartialRules, doing = 'use the rules of a store'): StoreRules {
  const rules = {
    ...base,
    ...changes,
    warning: { ...base.warning, ...changes.warning },
    critical: { ...base.critical, ...changes.critical },
  };
  checkRules(rules, doing);
  return rules;
}

/** Throws: usage, as `mergeRules`. */
export function checkRules(rules: StoreRules, doing = 'use the rules of a store'): void {
  const check = (field: string, value: unknown, isRight: boolean, expected: string): void => {
    if (!isRight) throw new PlimsollError('usage', 'RULE_VALUE', { doing, field, found: String(value), expected });
  };
  check('policy', rules.policy, POLICIES.includes(rules.policy), `one of ${POLICIES.join(', ')}`);
  check('idleShare', rules.idleShare, isBetween(rules.idleShare, 0, 1), 'a number from 0 to 1');
  check('floor', rules.floor, isBytes(rules.floor), 'a whole number of bytes');
  const { assume } = rules;
  const isList = Array.isArray(assume) && assume.every((one: Assumption) => ASSUMPTIONS.includes(one));
  check('assume', assume, isList, `a list of ${ASSUMPTIONS.join(', ')}`);
  for (const field of ['neverWritten', 'exclude'] as const) {
    check(field, rules[field], isListOfText(rules[field]), 'a list of patterns');
    checkPatterns(rules[field]);
  }
  for (const field of ['noticeSeconds', 'relieveSeconds'] as const) {
    check(field, rules[field], isBetween(rules[field], 0, MAX_SECONDS), `a number of seconds from 0 to ${MAX_SECONDS}`);
  }
  for (const level of ['warning', 'critical'] as const) {
    const { bytes, percent, seconds } = rules[level];
    check(`${level}.bytes`, bytes, bytes === null || isBytes(bytes), 'a whole number of bytes, or null');
    check(`${level}.percent`, percent, percent === null || isBetween(percent, 0, 100), 'a number from 0 to 100, or null');
    check(
      `${level}.seconds`,
      seconds,
      seconds === null || isBetween(seconds, 0, MAX_SECONDS),
      `a number of seconds from 0 to ${MAX_SECONDS}, or null`,
    );
  }
  checkOrder(rules, doing);
}

/** A level without a threshold is in order with any: critical alone is a choice. */
function checkOrder({ warning, critical }: StoreRules, doing: string): void {
  for (const field of ['bytes', 'percent', 'seconds'] as const) {
    const [early, late] = [warning[field], critical[field]];
    if (early === null || late === null || late <= early) continue;
    throw new PlimsollError('usage', 'RULE_ORDER', {
      doing,
      field: `critical.${field}`,
      found: late,
      expected: `at most warning.${field}, which is ${early}: critical must not be earlier than warning`,
    });
  }
}

function isListOfText(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

function isBetween(value: number, least: number, most: number): boolean {
  return typeof value === 'number' && value >= least && value <= most;
}

function isBytes(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
