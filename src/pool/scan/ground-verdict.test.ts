import { describe, expect, it } from 'vitest';
import { GiB, MiB, runSync } from '#base';
import { FIRM_GROUND, type Ground } from '#block';
import { availableUnderLimits, type Demand, judgeGround } from './ground-verdict.ts';

import { domainResiduals } from './domains.ts';
import { mapDoubts } from './map-doubt.ts';
import { type HostFilesystem } from '#host';

const limit = (domain: string | null, remaining: number): Ground['limits'][number] => ({
  level: 'warning',
  code: 'QUOTA_LIMIT',
  domain,
  remaining,
  message: `${domain} has ${remaining} left.`,
});
const store = (ground: Partial<Ground>): HostFilesystem =>
  ({ available: 100 * GiB, ground: { ...FIRM_GROUND, ...ground } }) as HostFilesystem;
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

describe('judgeGround()', () => {
  const doubts: Ground['doubts'] = [
    { level: 'warning', code: 'FILESYSTEM_SHARED', message: 'Other hosts.', coveredBy: 'exclusive' },
    { level: 'warning', code: 'FILESYSTEM_UNION', message: 'A union.', coveredBy: null },
  ];
  it('gives no firm ground while one doubt is open', () => {
    const { isFirm, findings } = judgeGround(store({ doubts }), demand({}), []);
    expect([isFirm, findings.map(({ code }) => code)]).toEqual([false, ['FILESYSTEM_SHARED', 'FILESYSTEM_UNION']]);
  });
  it('repeats a declaration with what it covers, and covers nothing else', () => {
    const { isFirm, assumed, findings } = judgeGround(store({ doubts }), demand({}), ['exclusive', 'backed', 'no-quota']);
    expect([isFirm, assumed]).toEqual([false, ['exclusive']]);
    expect(findings.find(({ code }) => code === 'ASSUMED')?.message).toContain('Other hosts.');
  });
  it('rests on no declaration that was not needed', () => {
    expect(judgeGround(store({}), demand({}), ['exclusive'])).toMatchObject({ isFirm: true, assumed: [], findings: [] });
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

describe('a limit that is a doubt as well', () => {
  it('is named once while it is open', () => {
    const message = 'Storage is short.';
    const short = { level: 'warning', code: 'STORAGE_BELOW_SHORT', message } as const;
    const doubts = [{ ...short, coveredBy: 'backed' as const }];
    const limits = [{ ...short, domain: null, remaining: MiB }];
    const judged = judgeGround(store({ doubts, limits }), demand({}), []);
    expect(judged.findings.map(({ code }) => code)).toEqual(['STORAGE_BELOW_SHORT']);
  });
});

describe('maps of files that can outgrow what is left', () => {
  it('are a doubt that only a declaration answers, where the residuals fit', () => {
    const doubts = mapDoubts(10 * MiB, 30 * MiB);
    const open = judgeGround(store({}), demand({}), ['backed'], doubts);
    expect(open).toMatchObject({
      isFirm: false,
      findings: [
        { level: 'warning', code: 'MAP_MAY_EXCEED', message: expect.stringMatching(/10 MiB remaining.*up to 30 MiB.*usual-writes/) },
      ],
    });
    const declared = judgeGround(store({}), demand({}), ['usual-writes'], doubts);
    expect(declared).toMatchObject({ isFirm: true, assumed: ['usual-writes'], findings: [{ level: 'info', code: 'ASSUMED' }] });
  });

  it('are no doubt where they fit too, and none where the residuals do not', () => {
    expect([mapDoubts(30 * MiB, 30 * MiB), mapDoubts(-1, 30 * MiB), mapDoubts(0, 0)]).toEqual([[], [], []]);
    expect(judgeGround(store({}), demand({}), ['usual-writes'])).toMatchObject({ isFirm: true, assumed: [] });
  });
});
