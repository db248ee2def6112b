import { describe, expect, it } from 'vitest';
import { GiB, MiB, runSync } from '#base';
import { PLAIN_STORAGE, type UnderlyingStorage } from '#block';
import { availableUnderLimits, type Demand, judgeUnderlyingStorage } from './storage-verdict.ts';

import { domainResiduals } from './domains.ts';
import { mapCaveats } from './map-caveat.ts';
import { type HostFilesystem } from '#host';

const limit = (domain: string | null, remaining: number): UnderlyingStorage['limits'][number] => ({
  level: 'warning',
  code: 'QUOTA_LIMIT',
  domain,
  remaining,
  message: `${domain} has ${remaining} left.`,
});
const store = (underlying: Partial<UnderlyingStorage>): HostFilesystem =>
  ({ available: 100 * GiB, underlying: { ...PLAIN_STORAGE, ...underlying } }) as HostFilesystem;
const demand = (byDomain: Record<string, number>): Demand => ({
  leastResidual: Object.values(byDomain).reduce((sum, one) => sum + one, 0),
  byDomain: new Map(Object.entries(byDomain)),
});

describe('availableUnderLimits()', () => {
  it('counts what a limit leaves where it covers every image', () => {
    expect(availableUnderLimits(store({ limits: [limit('subvolume 256', GiB)] }), demand({ 'subvolume 256': 3 * GiB }))).toBe(GiB);
  });
  it('leaves to other images what a limit does not cover: one subvolume that fits its limit spoils nothing', () => {
    const limits = [limit('subvolume 256', 2 * GiB), limit('subvolume 257', 5 * GiB)];
    const images = demand({ 'subvolume 256': GiB, 'subvolume 257': 4 * GiB });
    expect(availableUnderLimits(store({ limits }), images) - images.leastResidual).toBe(GiB);
  });
  it('passes over a limit that covers no image and no new file', () => {
    expect(availableUnderLimits(store({ limits: [limit('user 7', 0)] }), demand({ 'user 0': GiB }))).toBe(100 * GiB);
  });
  it('counts a limit of the directory that new images come to', () => {
    expect(availableUnderLimits(store({ limits: [limit('project 3', GiB)], domains: ['project 3'] }), demand({}))).toBe(GiB);
  });
});

describe('judgeUnderlyingStorage()', () => {
  const caveats: UnderlyingStorage['caveats'] = [
    { level: 'warning', code: 'FILESYSTEM_SHARED', message: 'Other hosts.', coveredBy: 'exclusive' },
    { level: 'warning', code: 'FILESYSTEM_UNION', message: 'A union.', coveredBy: null },
  ];
  it('is unreliable while a caveat is not covered', () => {
    const { isReliable, findings } = judgeUnderlyingStorage(store({ caveats }), demand({}), []);
    expect([isReliable, findings.map(({ code }) => code)]).toEqual([false, ['FILESYSTEM_SHARED', 'FILESYSTEM_UNION']]);
  });
  it('repeats a declaration with what it covers, and covers nothing else', () => {
    const { isReliable, assumed, findings } = judgeUnderlyingStorage(store({ caveats }), demand({}), ['exclusive', 'backed', 'no-quota']);
    expect([isReliable, assumed]).toEqual([false, ['exclusive']]);
    expect(findings.find(({ code }) => code === 'ASSUMED')?.message).toContain('Other hosts.');
  });
  it('rests on no declaration that was not needed', () => {
    expect(judgeUnderlyingStorage(store({}), demand({}), ['exclusive'])).toMatchObject({ isReliable: true, assumed: [], findings: [] });
  });
});

describe('domainResiduals()', () => {
  const image = { allocation: GiB, commitment: 2 * GiB, ranges: new Float64Array([0, GiB, 1]) };
  it('charges a subvolume once for blocks that its files share, and an owner for each file', () => {
    const images = [1, 2].map(() => ({ ...image, domains: ['subvolume 5', 'user 0'] }));
    expect(runSync(domainResiduals(images))).toEqual(
      new Map([
        ['subvolume 5', 3 * GiB],
        ['user 0', 2 * GiB],
      ]),
    );
  });
});

describe('a limit that is a caveat as well', () => {
  it('is named once while it is open', () => {
    const message = 'Storage is short.';
    const short = { level: 'warning', code: 'STORAGE_BELOW_SHORT', message } as const;
    const caveats = [{ ...short, coveredBy: 'backed' as const }];
    const limits = [{ ...short, domain: null, remaining: MiB }];
    const judged = judgeUnderlyingStorage(store({ caveats, limits }), demand({}), []);
    expect(judged.findings.map(({ code }) => code)).toEqual(['STORAGE_BELOW_SHORT']);
  });
});

describe('maps of files that can outgrow what is left', () => {
  it('are a caveat that only a declaration answers, where the residuals fit', () => {
    const caveats = mapCaveats(10 * MiB, 30 * MiB);
    const open = judgeUnderlyingStorage(store({}), demand({}), ['backed'], caveats);
    expect(open).toMatchObject({
      isReliable: false,
      findings: [
        { level: 'warning', code: 'MAP_MAY_EXCEED', message: expect.stringMatching(/10 MiB remaining.*up to 30 MiB.*usual-writes/) },
      ],
    });
    const declared = judgeUnderlyingStorage(store({}), demand({}), ['usual-writes'], caveats);
    expect(declared).toMatchObject({ isReliable: true, assumed: ['usual-writes'], findings: [{ level: 'info', code: 'ASSUMED' }] });
  });

  it('are no caveat where they fit too, and none where the residuals do not', () => {
    expect([mapCaveats(30 * MiB, 30 * MiB), mapCaveats(-1, 30 * MiB), mapCaveats(0, 0)]).toEqual([[], [], []]);
    expect(judgeUnderlyingStorage(store({}), demand({}), ['usual-writes'])).toMatchObject({ isReliable: true, assumed: [] });
  });
});
