import { describe, expect, it } from 'vitest';
import { checkRules, DEFAULT_RULES, mergeRules, type PartialRules } from './rules.ts';

describe('DEFAULT_RULES', () => {
  it('are in order themselves', () => {
    expect(() => checkRules(DEFAULT_RULES)).not.toThrow();
    expect(DEFAULT_RULES).toMatchObject({ policy: 'promise', floor: 0, noticeSeconds: 60, relieveSeconds: 1800 });
  });
});

describe('mergeRules()', () => {
  it('keeps what is not set, threshold by threshold', () => {
    expect(mergeRules(DEFAULT_RULES, { floor: 4096, warning: { percent: 30 } })).toEqual({
      ...DEFAULT_RULES,
      floor: 4096,
      warning: { ...DEFAULT_RULES.warning, percent: 30 },
    });
  });

  it('takes a threshold away by null', () => {
    expect(mergeRules(DEFAULT_RULES, { critical: { percent: null } }).critical).toEqual({ ...DEFAULT_RULES.critical, percent: null });
  });

  it('lets critical stand alone, and equal to warning', () => {
    expect(() => mergeRules(DEFAULT_RULES, { warning: { percent: null }, critical: { percent: 90, bytes: 10 } })).not.toThrow();
    expect(() => mergeRules(DEFAULT_RULES, { critical: { percent: 20 } })).not.toThrow();
  });

  it.each<[string, object, string]>([
    ['policy', { policy: 'hope' }, 'expected one of promise, growth, entitled'],
    ['idleShare', { idleShare: 1.01 }, 'idleShare is 1.01, expected a number from 0 to 1'],
    ['idleShare', { idleShare: Number.NaN }, 'idleShare is NaN'],
    ['floor', { floor: -1 }, 'floor is -1, expected a whole number of bytes'],
    ['floor', { floor: 1.5 }, 'floor is 1.5'],
    ['neverWritten', { neverWritten: 'backing' }, 'expected a list of patterns'],
    ['exclude', { exclude: [1] }, 'expected a list of patterns'],
    ['noticeSeconds', { noticeSeconds: -1 }, 'noticeSeconds is -1'],
    ['relieveSeconds', { relieveSeconds: Infinity }, 'relieveSeconds is Infinity'],
    ['warning.bytes', { warning: { bytes: 0.5 } }, 'warning.bytes is 0.5'],
    ['warning.percent', { warning: { percent: 101 } }, 'warning.percent is 101, expected a number from 0 to 100, or null'],
    ['critical.seconds', { critical: { seconds: -5 } }, 'critical.seconds is -5'],
    ['critical.seconds', { critical: { seconds: '4h' } }, 'critical.seconds is 4h'],
  ])('refuses a wrong %s: %j', (field, changes, message) => {
    const merge = (): unknown => mergeRules(DEFAULT_RULES, changes, 'read the rules of /srv/vm');
    expect(merge).toThrow(expect.objectContaining({ kind: 'usage', code: 'RULE_VALUE', where: expect.objectContaining({ field }) }));
    expect(merge).toThrow(`Cannot read the rules of /srv/vm: `);
    expect(merge).toThrow(message);
  });

  it.each<[string, PartialRules]>([
    ['percent', { critical: { percent: 21 } }],
    ['seconds', { warning: { seconds: 3600 } }],
    ['bytes', { warning: { bytes: 10 }, critical: { bytes: 11 } }],
  ])('refuses a critical that comes before warning: %s', (field, changes) => {
    expect(() => mergeRules(DEFAULT_RULES, changes)).toThrow(
      expect.objectContaining({ kind: 'usage', code: 'RULE_ORDER', where: expect.objectContaining({ field: `critical.${field}` }) }),
    );
  });
});
