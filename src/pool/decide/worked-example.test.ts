/** The example of docs/admission.md, worked out: every block of it stands on the page. */
import { readFileSync } from 'node:fs';
import { formatBytes, GiB, MiB } from '#base';
import type { PolicySum, Outlook } from '#wire';
import { expect, it } from 'vitest';
import { explainVerdict, type StoreFacts, sumOf } from './admission.ts';
import { forecastStore, growthOf, type SizePoint } from './forecast.ts';
import { type MoveGroup, planMoves } from './moves.ts';
import { DEFAULT_RULES, mergeRules } from './rules.ts';

const HOUR = 3600;
const NOW = Date.UTC(2026, 8, 1);
const RULES = mergeRules(DEFAULT_RULES, { floor: 10 * GiB });

/** Four days, a sample a minute: for one hour of ten, `rate` is written. */
function nightlyJobs(rate: number): SizePoint[] {
  return Array.from({ length: 4 * 24 * 60 + 1 }, (_, minute) => {
    const seconds = minute * 60;
    const bytes = rate * (Math.floor(seconds / (10 * HOUR)) * HOUR + Math.min(seconds % (10 * HOUR), HOUR));
    return { atMs: NOW - (4 * 24 * HOUR - seconds) * 1000, bytes };
  });
}

const FACTS: StoreFacts = {
  store: 'uuid:example',
  size: 1000 * GiB,
  available: 400 * GiB,
  allocation: 600 * GiB,
  residual: 300 * GiB,
  reserved: 40 * GiB,
  growth: growthOf(nightlyJobs(20 * MiB), NOW),
  otherGrowth: growthOf(nightlyJobs(MiB), NOW),
  caveat: null,
};

function sumLines(sum: PolicySum): string[] {
  const line = (name: string, bytes: number): string => `${name.padEnd(24)}${formatBytes(bytes).padStart(12)}`;
  return [...sum.components.map(({ name, bytes }) => line(name, bytes)), line('remaining', sum.remaining ?? 0)];
}

function machine(name: string, copied: number, freed: number, commitment: number): MoveGroup {
  const images = [{ id: name, path: `/srv/vm/${name}.qcow2`, allocation: copied * GiB }];
  const counted = commitment * GiB;
  return { images, machine: name, copied: copied * GiB, freed: freed * GiB, counted, commitment: counted, growthHigh: 0, inUse: true };
}

const SUMS = (['promise', 'entitled', 'growth'] as const).map((policy): [string, string[]] => {
  const sum = sumOf(FACTS, RULES, { bytes: 60 * GiB, policy });
  return [policy, [...sumLines(sum), explainVerdict(sum, FACTS, 60 * GiB)]];
});

const GROWTH = [
  `images         ${formatBytes(FACTS.growth.low ?? 0)}/s to ${formatBytes(FACTS.growth.high ?? 0)}/s`,
  `other files    ${formatBytes(FACTS.otherGrowth.low ?? 0)}/s to ${formatBytes(FACTS.otherGrowth.high ?? 0)}/s`,
];

const FORECAST = [
  ...Object.entries(forecastStore(FACTS, RULES) as unknown as Readonly<Record<string, Outlook>>)
    .filter(([name]) => name !== 'growth')
    .map(
      ([name, { outcome, earliest, latest }]) =>
        `${name.padEnd(14)} ${outcome}, earliest ${earliest ?? 'none'}, latest ${latest ?? 'none'}`,
    ),
];

const MOVES = [
  ...planMoves({
    facts: { ...FACTS, reserved: 100 * GiB },
    rules: mergeRules(RULES, { warning: { percent: 20, seconds: null } }),
    groups: [machine('db', 80, 80, 80), machine('clone', 20, 2, 40), machine('web', 4, 4, 30), machine('mail', 4, 4, 9)],
    bandwidth: 100 * MiB,
  }).moves.map(({ reason }) => reason),
];

it.each([...SUMS, ['growth', GROWTH], ['forecast', FORECAST], ['moves', MOVES]] as [string, string[]][])(
  'docs/admission.md: %s',
  (_, lines) => {
    const page = readFileSync(new URL('../../../docs/admission.md', import.meta.url), 'utf8');
    expect(page).toContain(`${lines.join('\n')}\n`);
  },
);
