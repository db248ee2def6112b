import { GiB } from '#base';
import type { Growth, Policy, StoreRules } from '#wire';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { admits, copyOnWriteReserve, explainVerdict, mapsExceed, type SpaceRequest, type StoreFacts, sumOf } from './admission.ts';
import { DEFAULT_RULES } from './rules.ts';

const QUIET: Growth = { low: 0, high: 0, samples: 100, spanSeconds: 86_400, unknown: null };
const UNSEEN: Growth = { low: null, high: null, samples: 3, spanSeconds: 120, unknown: 'The history is too short.' };

const FACTS: StoreFacts = {
  store: 'uuid:1',
  size: 1000 * GiB,
  available: 400 * GiB,
  allocation: 600 * GiB,
  residual: 300 * GiB,
  reserved: 40 * GiB,
  growth: QUIET,
  otherGrowth: QUIET,
  caveat: null,
};

function rules(changes: Partial<StoreRules> = {}): StoreRules {
  return { ...DEFAULT_RULES, floor: 10 * GiB, ...changes };
}

function growing(high: number): Growth {
  return { ...QUIET, high };
}

/** Terms by name, in GiB. */
function components(facts: StoreFacts, of: StoreRules, request?: SpaceRequest): Record<string, number> {
  return Object.fromEntries(sumOf(facts, of, request).components.map(({ code, bytes }) => [code, bytes / GiB]));
}

describe('sumOf(): promise', () => {
  it('takes away everything that may still be written, and what is held', () => {
    expect(components(FACTS, rules(), { bytes: 20 * GiB })).toEqual({
      available: 400,
      floor: -10,
      reserved: -40,
      request: -20,
      residual: -300,
    });
    expect(sumOf(FACTS, rules(), { bytes: 20 * GiB })).toMatchObject({ policy: 'promise', remaining: 30 * GiB, unknown: null });
  });

  it('names every component of zero without a sign', () => {
    const sum = sumOf({ ...FACTS, residual: 0, reserved: 0 }, rules({ floor: 0 }));
    expect(sum.components.map(({ bytes }) => Object.is(bytes, -0))).not.toContain(true);
    expect(sum.components).toHaveLength(4);
  });

  it('is unmoved by what guests wrote since the scan', () => {
    const before = sumOf(FACTS, rules());
    const after = sumOf({ ...FACTS, available: FACTS.available - GiB, residual: 299 * GiB }, rules());
    expect(after.remaining).toBe(before.remaining);
  });

  it('knows nothing about growth, and needs not to', () => {
    expect(sumOf({ ...FACTS, growth: UNSEEN, otherGrowth: UNSEEN }, rules()).remaining).toBe(50 * GiB);
  });
});

describe('sumOf(): entitled', () => {
  it('takes away a share of the residual, rounded up', () => {
    expect(components(FACTS, rules({ policy: 'entitled' }))).toMatchObject({ residual: -75 });
    expect(sumOf({ ...FACTS, residual: 3 }, rules({ policy: 'entitled' })).components).toContainEqual(
      expect.objectContaining({ name: 'residual', bytes: -1 }),
    );
  });

  it('counts no residual at a share of 0, known or not', () => {
    expect(components({ ...FACTS, residual: null }, rules({ policy: 'entitled', idleShare: 0 }))).toEqual({
      available: 400,
      floor: -10,
      reserved: -40,
    });
    expect(sumOf({ ...FACTS, residual: null }, rules({ policy: 'entitled', idleShare: 0 })).remaining).toBe(350 * GiB);
  });

  it('takes policy and share from the request', () => {
    expect(sumOf(FACTS, rules(), { bytes: 0, policy: 'entitled', idleShare: 0.5 })).toMatchObject({
      policy: 'entitled',
      remaining: 200 * GiB,
    });
  });
});

describe('sumOf(): growth', () => {
  const growthRules = rules({ policy: 'growth', noticeSeconds: 40, relieveSeconds: 984 });

  it('takes away what grows until the store could be relieved', () => {
    const facts = { ...FACTS, growth: growing(GiB / 8), otherGrowth: growing(GiB / 64) };
    expect(components(facts, growthRules)).toEqual({
      available: 400,
      floor: -10,
      reserved: -40,
      'image-growth': -128,
      'other-growth': -16,
    });
  });

  it('caps the growth of images by their residual, that of other files by nothing', () => {
    const facts = { ...FACTS, residual: 2 * GiB, growth: growing(GiB), otherGrowth: growing(GiB) };
    expect(components(facts, growthRules)).toMatchObject({ 'image-growth': -2, 'other-growth': -1024 });
  });

  it('counts the growth of images whole where no residual is known', () => {
    expect(components({ ...FACTS, residual: null, growth: growing(GiB / 8) }, growthRules)).toMatchObject({ 'image-growth': -128 });
  });

  it('is a yes without a history of images where even all that they may write fits', () => {
    const facts = { ...FACTS, growth: UNSEEN };
    expect(sumOf(facts, growthRules)).toMatchObject({ remaining: 50 * GiB, unknown: null });
    expect(admits(sumOf(facts, growthRules))).toBe(true);
  });

  it('says what is missing where it would not', () => {
    const sum = sumOf({ ...FACTS, growth: UNSEEN, residual: 500 * GiB }, growthRules);
    expect(sum).toMatchObject({ remaining: null, unknown: 'The growth of images is unknown: the history is too short.' });
  });

  it('cannot do without the growth of other files', () => {
    const facts = { ...FACTS, otherGrowth: UNSEEN };
    expect(sumOf(facts, growthRules).unknown).toBe('The growth of other files is unknown: the history is too short.');
    expect(admits(sumOf(facts, growthRules))).toBeNull();
  });

  it('is a no whatever the growth, where a request alone is too large', () => {
    const facts = { ...FACTS, growth: UNSEEN, otherGrowth: UNSEEN, residual: null };
    const sum = sumOf(facts, growthRules, { bytes: 351 * GiB });
    expect(sum.remaining).toBe(-GiB);
    expect(admits(sum)).toBe(false);
  });
});

describe('sumOf(): what is not known', () => {
  it('is null without a residual', () => {
    const facts = { ...FACTS, residual: null };
    expect(sumOf(facts, rules())).toMatchObject({
      remaining: null,
      unknown: 'The residual of at least one image is unknown.',
    });
    expect(admits(sumOf(facts, rules()))).toBeNull();
  });

  it('is a no where what is known of the residual is too much already', () => {
    const facts = { ...FACTS, residual: null, residualAtLeast: 351 * GiB };
    expect(sumOf(facts, rules())).toMatchObject({ remaining: -GiB, unknown: expect.stringContaining('is unknown') });
    expect(admits(sumOf(facts, rules()))).toBe(false);
    expect(sumOf({ ...facts, residualAtLeast: 350 * GiB }, rules()).remaining).toBeNull();
  });

  describe('maps of files that can take more than remains', () => {
    const facts = { ...FACTS, mapExcess: 50 * GiB, mapBytes: (bytes: number) => 3 * bytes };

    it('leave the promise open, with both numbers, and do not stand against a no', () => {
      expect(admits(sumOf(facts, rules()))).toBe(true);
      const sum = sumOf(facts, rules(), { bytes: GiB });
      expect(sum).toMatchObject({
        remaining: 49 * GiB,
        unknown: expect.stringMatching(/49 GiB remaining.*up to 53 GiB.*--assume usual-writes/),
      });
      expect([admits(sum), explainVerdict(sum, facts, GiB)]).toEqual([
        null,
        expect.stringContaining('(policy promise). The residuals fit'),
      ]);
      expect(sumOf(facts, rules(), { bytes: 51 * GiB })).toMatchObject({ remaining: -GiB, unknown: null });
    });

    it('count for nothing under the other policies, and where usual writes are declared', () => {
      for (const policy of ['entitled', 'growth'] as const) expect(admits(sumOf(facts, rules(), { bytes: GiB, policy }))).toBe(true);
      const declared = { ...facts, usualWrites: true };
      const sum = sumOf(declared, rules(), { bytes: GiB });
      expect([admits(sum), mapsExceed(declared, sum, { bytes: GiB }), mapsExceed(declared, sumOf(declared, rules()))]).toEqual([
        true,
        true,
        false,
      ]);
    });
  });

  it('lets a caveat stand against a yes and not against a no', () => {
    const facts = { ...FACTS, caveat: 'Available space is an estimate on btrfs.' };
    expect(sumOf(facts, rules())).toMatchObject({ remaining: 50 * GiB, unknown: facts.caveat });
    expect(admits(sumOf(facts, rules()))).toBeNull();
    const tooMuch = sumOf(facts, rules(), { bytes: 51 * GiB });
    expect(tooMuch).toMatchObject({ remaining: -GiB, unknown: null });
    expect(admits(tooMuch)).toBe(false);
  });

  it('is everything on a filesystem without a size', () => {
    const facts = { ...FACTS, size: 0, available: 0 };
    expect(sumOf(facts, rules())).toMatchObject({ remaining: null, unknown: 'The filesystem reports no size.' });
  });

  it.each([-1, 0.5, Number.NaN, 2 ** 53])('refuses a request of %d bytes', (bytes) => {
    expect(() => sumOf(FACTS, rules(), { bytes })).toThrow(expect.objectContaining({ kind: 'usage', code: 'REQUEST_BYTES' }));
  });

  it('refuses an invalid share', () => {
    expect(() => sumOf(FACTS, rules(), { bytes: 1, idleShare: 2 })).toThrow(expect.objectContaining({ code: 'RULE_VALUE' }));
  });
});

describe('explainVerdict()', () => {
  it.each<[string, Partial<StoreFacts>, number | undefined, string]>([
    ['yes', {}, 20 * GiB, '20 GiB fits if every image is filled (policy promise): 30 GiB remain.'],
    ['no', {}, 60 * GiB, '60 GiB does not fit if every image is filled (policy promise), short by 10 GiB.'],
    [
      'perhaps',
      { residual: null },
      20 * GiB,
      'It is unknown whether 20 GiB fits if every image is filled (policy promise). The residual of at least one image is unknown.',
    ],
    [
      'a no that may be worse',
      { residual: null, residualAtLeast: 360 * GiB },
      undefined,
      'The committed content of the store does not fit if every image is filled (policy promise), short by 10 GiB. Perhaps more: the residual of at least one image is unknown.',
    ],
  ])('%s', (_, part, bytes, sentence) => {
    const facts = { ...FACTS, ...part };
    expect(explainVerdict(sumOf(facts, rules(), bytes === undefined ? undefined : { bytes }), facts, bytes)).toBe(sentence);
  });
});

describe('every sum', () => {
  const bytes = fc.integer({ min: 0, max: 2 ** 46 });
  const growth = fc.option(bytes, { nil: null }).map((rate): Growth => (rate === null ? UNSEEN : growing(rate / 1000)));
  const facts = fc.record<StoreFacts>({
    store: fc.constant('uuid:1'),
    size: bytes.map((size) => size + 1),
    available: bytes,
    allocation: bytes,
    residual: fc.option(bytes, { nil: null }),
    reserved: bytes,
    growth,
    otherGrowth: growth,
    caveat: fc.option(fc.constant('caveat'), { nil: null }),
  });
  const anyRules = fc.record({ floor: bytes, idleShare: fc.double({ min: 0, max: 1, noNaN: true }) }).map((part) => rules(part));
  const policies = fc.constantFrom<Policy>('promise', 'growth', 'entitled');

  it('adds up exactly, and is null with a reason only', () => {
    fc.assert(
      fc.property(facts, anyRules, bytes, policies, (store, of, asked, policy) => {
        const sum = sumOf(store, of, { bytes: asked, policy });
        if (sum.remaining === null) expect(sum.unknown).toEqual(expect.any(String));
        else expect(sum.components.reduce((all, component) => all + component.bytes, 0)).toBe(sum.remaining);
      }),
    );
  });

  it('is the promise where all are entitled to everything', () => {
    fc.assert(
      fc.property(facts, anyRules, bytes, (store, of, asked) => {
        const entitled = sumOf(store, of, { bytes: asked, policy: 'entitled', idleShare: 1 });
        expect({ ...entitled, policy: 'promise' }).toEqual(sumOf(store, of, { bytes: asked, policy: 'promise' }));
      }),
    );
  });

  it('is what the answer said, once the request is held', () => {
    fc.assert(
      fc.property(facts, anyRules, bytes, policies, (store, of, asked, policy) => {
        const answered = sumOf(store, of, { bytes: asked, policy });
        const held = sumOf({ ...store, reserved: store.reserved + asked }, { ...of, policy });
        expect(held.remaining).toBe(answered.remaining);
      }),
    );
  });

  it('never turns from a no into a yes by what comes to be known', () => {
    fc.assert(
      fc.property(facts, anyRules, policies, bytes, (store, of, policy, residual) => {
        const before = admits(sumOf(store, { ...of, policy }));
        const told = {
          ...store,
          residual: store.residual ?? residual,
          growth: store.growth.high === null ? growing(residual) : store.growth,
          otherGrowth: store.otherGrowth.high === null ? growing(residual) : store.otherGrowth,
        };
        const after = admits(sumOf(told, { ...of, policy }));
        if (before !== null) expect(after).toBe(before);
      }),
    );
  });

  it('under growth never takes more for images than the promise does', () => {
    fc.assert(
      fc.property(facts, anyRules, (store, of) => {
        const alone = { ...store, otherGrowth: growing(0) };
        const [byGrowth, promise] = [sumOf(alone, { ...of, policy: 'growth' }), sumOf(alone, { ...of, policy: 'promise' })];
        fc.pre(store.residual !== null && store.growth.high !== null);
        expect(byGrowth.remaining).toBeGreaterThanOrEqual(promise.remaining as number);
      }),
    );
  });
});

describe('a store that copies on write', () => {
  const caveat = 'It cannot be guaranteed here that every write fits.';
  const copying: StoreFacts = { ...FACTS, caveat, copyOnWriteReserve: copyOnWriteReserve(FACTS) };

  it('promises nothing, and answers by the other policies with a reserve that it states', () => {
    const answer = (policy: Policy): unknown[] => {
      const sum = sumOf(copying, rules(), { bytes: 20 * GiB, policy, idleShare: 0.25 });
      return [admits(sum), sum.remaining === null ? null : sum.remaining / GiB, sum.unknown];
    };
    expect(answer('promise')).toEqual([null, 30, caveat]);
    expect(answer('entitled')).toEqual([true, 400 - 10 - 40 - 20 - 75 - 35, null]);
    expect(answer('growth')).toEqual([true, 400 - 10 - 40 - 20 - 35, null]);
    expect(components(copying, rules({ policy: 'growth' }))).toMatchObject({ 'cow-reserve': -35 });
    expect(admits(sumOf(copying, rules(), { bytes: 300 * GiB, policy: 'entitled' }))).toBe(false);
  });

  it('counts growth beyond what the images may still write', () => {
    const quick: StoreFacts = { ...copying, residual: GiB, growth: growing(GiB / 60) };
    expect(components(quick, rules({ policy: 'growth', noticeSeconds: 60, relieveSeconds: 540 }))['image-growth']).toBeLessThanOrEqual(-10);
  });

  it('reserves a twentieth of what the images hold, and of the store up to 5 GiB', () => {
    expect(copyOnWriteReserve({ size: 40 * GiB, allocation: 20 * GiB })).toBe(3 * GiB);
    expect(copyOnWriteReserve({ size: 4000 * GiB, allocation: 0 })).toBe(5 * GiB);
  });

  it('stays in caveat under every policy for any other reason', () => {
    const unread: StoreFacts = { ...FACTS, caveat: 'An image could not be read.' };
    expect(admits(sumOf(unread, rules(), { bytes: GiB, policy: 'growth' }))).toBeNull();
  });
});
