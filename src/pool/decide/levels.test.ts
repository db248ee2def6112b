import type { Growth, StoreRules } from '#wire';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StoreFacts } from './admission.ts';
import { forecastStore } from './forecast.ts';
import { alertOf, CLEAR_HOLD_SECONDS, judgeLevel, type LevelState } from './levels.ts';
import { DEFAULT_RULES, mergeRules } from './rules.ts';

const HOLD_MS = CLEAR_HOLD_SECONDS * 1000;
const MINUTE = 60_000;

const QUIET: Growth = { low: 0, high: 0, samples: 100, spanSeconds: 86_400, unknown: null };
const UNSEEN: Growth = { low: null, high: null, samples: 0, spanSeconds: 0, unknown: 'The history is too short.' };
const FACTS: StoreFacts = {
  store: 'uuid:1',
  size: 1_000_000,
  available: 600_000,
  allocation: 400_000,
  residual: 100_000,
  reserved: 0,
  growth: QUIET,
  otherGrowth: QUIET,
  caveat: null,
};
const NO_LEVEL = { bytes: null, percent: null, seconds: null };
const RULES = mergeRules(DEFAULT_RULES, { floor: 100_000, warning: NO_LEVEL, critical: NO_LEVEL });

/** Judges store after store, a minute apart. */
function judge(rules: StoreRules, all: readonly Partial<StoreFacts>[], stepMs = MINUTE): LevelState[] {
  const states: LevelState[] = [];
  for (const [index, part] of all.entries()) {
    const facts = { ...FACTS, ...part };
    states.push(judgeLevel(states.at(-1), facts, forecastStore(facts, rules), rules, index * stepMs));
  }
  return states;
}

function levels(rules: StoreRules, all: readonly Partial<StoreFacts>[], stepMs = MINUTE): string[] {
  return judge(rules, all, stepMs).map(({ level }) => level);
}

function available(...values: number[]): Partial<StoreFacts>[] {
  return values.map((value) => ({ available: value }));
}

describe('judgeLevel(): what reaches a level', () => {
  it.each<[string, object, Partial<StoreFacts>, string, string[]]>([
    ['nothing set', {}, {}, 'ok', []],
    ['bytes above the floor', { warning: { bytes: 500_000 } }, {}, 'warning', ['bytes']],
    ['a byte more', { warning: { bytes: 499_999 } }, {}, 'ok', []],
    ['percent', { warning: { percent: 60 } }, {}, 'warning', ['percent']],
    ['a byte more than the percentage', { warning: { percent: 60 } }, { available: 600_001 }, 'ok', []],
    ['both levels', { warning: { percent: 60 }, critical: { bytes: 500_000 } }, {}, 'critical', ['bytes']],
    ['several at once', { critical: { percent: 60, bytes: 500_000 } }, {}, 'critical', ['bytes', 'percent']],
    ['the sum', { policy: 'promise' }, { residual: 500_001 }, 'warning', ['policy']],
    ['a sum that just fits', { policy: 'promise' }, { residual: 500_000 }, 'ok', []],
    [
      'seconds',
      { policy: 'entitled', idleShare: 0, warning: { seconds: 5000 } },
      { residual: null, growth: { ...QUIET, high: 100 } },
      'warning',
      ['seconds'],
    ],
    [
      'a second more',
      { policy: 'entitled', idleShare: 0, warning: { seconds: 4999 } },
      { residual: null, growth: { ...QUIET, high: 100 } },
      'ok',
      [],
    ],
    ['growth that ends at the commitments', { warning: { seconds: 5000 } }, { residual: 1000, growth: { ...QUIET, high: 100 } }, 'ok', []],
    [
      'further ahead than the history supports',
      { warning: { seconds: 5000 } },
      { growth: { ...QUIET, high: 100, spanSeconds: 400 }, otherGrowth: { ...QUIET, high: 1, spanSeconds: 400 } },
      'ok',
      [],
    ],
    ['the floor', { warning: { seconds: 1 } }, { available: 100_000, residual: 0 }, 'warning', ['seconds']],
    ['growth not known', { warning: { seconds: 1 } }, { otherGrowth: UNSEEN }, 'unknown', []],
    ['growth not known, and not asked for', { warning: { bytes: 1 } }, { otherGrowth: UNSEEN }, 'ok', []],
    [
      'growth not known, and something else reached',
      { warning: { seconds: 1, percent: 60 } },
      { otherGrowth: UNSEEN },
      'warning',
      ['percent'],
    ],
    ['residual not known', {}, { residual: null }, 'unknown', []],
    ['a caveat', {}, { caveat: 'An estimate.' }, 'unknown', []],
    ['a caveat about what does not fit', {}, { caveat: 'An estimate.', residual: 500_001 }, 'warning', ['policy']],
    ['a filesystem without a size', { warning: { bytes: 5 } }, { size: 0, available: 0 }, 'unknown', []],
  ])('%s', (_, rules, facts, level, by) => {
    const [state] = judge(mergeRules(RULES, rules), [facts]);
    expect(state).toMatchObject({ level, by, sinceMs: 0 });
    expect(typeof state?.unknown).toBe(level === 'unknown' ? 'string' : 'object');
  });
});

describe('judgeLevel(): hysteresis', () => {
  const rules = mergeRules(RULES, { warning: { bytes: 200_000 }, critical: { bytes: 100_000 } });

  it('raises at once and clears at once when far past the threshold', () => {
    expect(levels(rules, available(600_000, 300_000, 200_000, 320_001))).toEqual(['ok', 'warning', 'critical', 'ok']);
  });

  it('stays up inside the margin, until it has held', () => {
    const states = levels(rules, available(300_000, ...Array.from({ length: 13 }, () => 310_000)));
    expect(states).toEqual([...Array.from({ length: 11 }, () => 'warning'), 'ok', 'ok', 'ok']);
  });

  it('begins the wait anew when the threshold is reached again', () => {
    const minutes = [300_000, ...Array.from({ length: 9 }, () => 310_000), 300_000, ...Array.from({ length: 10 }, () => 310_000)];
    expect(new Set(levels(rules, available(...minutes)))).toEqual(new Set(['warning']));
  });

  it('goes from critical to warning as each of them clears', () => {
    const states = judge(rules, available(200_000, 210_001, 250_000, 300_001, 400_000));
    expect(states.map(({ level, sinceMs }) => [level, sinceMs / MINUTE])).toEqual([
      ['critical', 0],
      ['warning', 1],
      ['warning', 1],
      ['warning', 1],
      ['ok', 4],
    ]);
  });

  it('raises once for a value that swings round its threshold', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 290_000, max: 320_000 }), { minLength: 5, maxLength: 60 }), (swings) => {
        // It comes back at the latest after nine minutes.
        const all = swings.flatMap((value, index) => (index % 9 === 0 ? [300_000, value] : [value]));
        const states = levels(rules, available(...all));
        expect(states.filter((level, index) => level === 'warning' && states[index - 1] !== 'warning')).toHaveLength(1);
      }),
    );
  });

  it('keeps a level whose threshold has become unknown', () => {
    const seconds = mergeRules(RULES, { policy: 'entitled', idleShare: 0, warning: { seconds: 5000 } });
    const fast = { residual: null, growth: { ...QUIET, high: 100 } };
    const states = judge(seconds, [fast, { residual: null, growth: UNSEEN }, fast, {}]);
    expect(states.map(({ level }) => level)).toEqual(['warning', 'warning', 'warning', 'ok']);
    expect(states[1]).toMatchObject({ by: ['seconds'], sinceMs: 0 });
  });

  it('lets seconds swing to twice the threshold', () => {
    const seconds = mergeRules(RULES, { policy: 'entitled', idleShare: 0, warning: { seconds: 5000 } });
    const at = (high: number): Partial<StoreFacts> => ({ residual: null, growth: { ...QUIET, high } });
    expect(levels(seconds, [at(100), at(50), at(100), at(49)])).toEqual(['warning', 'warning', 'warning', 'ok']);
  });

  it('clears the sum when it is past 0 by a hundredth of the store, or has held', () => {
    const residuals = [500_001, 490_000, 489_999].map((residual) => ({ residual }));
    expect(levels(RULES, residuals)).toEqual(['warning', 'warning', 'ok']);
    expect(levels(RULES, [{ residual: 500_001 }, { residual: 500_000 }, { residual: 500_000 }], HOLD_MS)).toEqual([
      'warning',
      'warning',
      'ok',
    ]);
  });

  it('drops what is no longer watched', () => {
    const [state] = judge(rules, available(300_000));
    const facts = { ...FACTS, available: 300_000 };
    expect(judgeLevel(state, facts, forecastStore(facts, RULES), RULES, MINUTE)).toMatchObject({ level: 'ok', raised: [] });
  });

  it('survives a clock that is set back', () => {
    const [first] = judge(rules, available(300_000)).map((state) => ({
      ...state,
      sinceMs: 9e12,
      raised: state.raised.map((one) => ({ ...one, clearSinceMs: 9e12 })),
    }));
    const facts = { ...FACTS, available: 310_000 };
    const judgeAt = (previous: LevelState | undefined, nowMs: number): LevelState =>
      judgeLevel(previous, facts, forecastStore(facts, rules), rules, nowMs);
    const second = judgeAt(first, 1000);
    expect(second).toMatchObject({ level: 'warning', sinceMs: 1000 });
    expect(judgeAt(second, 1000 + HOLD_MS).level).toBe('ok');
  });

  it('is plain data: kept as JSON it goes on the same', () => {
    const [state] = judge(rules, available(300_000));
    expect(JSON.parse(JSON.stringify(state))).toEqual(state);
  });
});

describe('alertOf()', () => {
  it.each<[string, object, Partial<StoreFacts>, string]>([
    ['bytes', { warning: { bytes: 512_000 } }, {}, '488.28 KiB are available above the floor; the threshold is 500 KiB.'],
    ['percent', { critical: { percent: 60 } }, {}, '60.0 % of the store are available; the threshold is 60 %.'],
    [
      'seconds',
      { policy: 'entitled', idleShare: 0, warning: { seconds: 5000 } },
      { residual: null, growth: { ...QUIET, high: 100 } },
      'The floor may be reached in 83 min; the threshold is 83 min.',
    ],
    ['the floor', { warning: { seconds: 60 } }, { available: 100_000, residual: 0 }, 'The floor is reached; the threshold is 60 s.'],
    [
      'policy',
      {},
      { residual: 501_024 },
      'The committed content of the store does not fit if every image is filled (policy promise), short by 1 KiB.',
    ],
  ])('says what reached it: %s', (_, changes, part, message) => {
    const rules = mergeRules(RULES, changes);
    const facts = { ...FACTS, ...part };
    const forecast = forecastStore(facts, rules);
    const state = judgeLevel(undefined, facts, forecast, rules, 0);
    expect(alertOf(state, facts, forecast, rules)).toEqual({
      store: 'uuid:1',
      level: state.level,
      by: state.by,
      since: '1970-01-01T00:00:00.000Z',
      message,
    });
  });

  it('is absent when everything is ok, or unknown', () => {
    for (const facts of [FACTS, { ...FACTS, residual: null }]) {
      const forecast = forecastStore(facts, RULES);
      expect(alertOf(judgeLevel(undefined, facts, forecast, RULES, 0), facts, forecast, RULES)).toBeUndefined();
    }
  });
});
