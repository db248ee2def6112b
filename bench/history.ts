/** How much space does a year of history take, and how long do its ticks and questions take? */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { Question } from './question.ts';
import type { Measured } from './rounds.ts';

const IMAGES = 10_000;
const MAX_BYTES = 500e6;
/** Maximum delay of any other work meanwhile, in milliseconds. */
const MAX_BLOCK_MS = 50;

interface Year {
  readonly byteLength: number;
  readonly yearMs: number;
  readonly longestBlockMs: number;
  readonly findings: readonly unknown[];
  readonly measured: Readonly<Record<string, readonly number[]>>;
}

export const history: Question = {
  name: 'history',
  title: 'A year of history, 10,000 images',
  setting:
    'One store a minute, 10,000 images an hour, downsampled as `serve` does it. There is no peer: these are times of the library, in one process.',
  answer: (directory) => {
    const year = livedIn(directory);
    if (year.findings.length > 0) throw new Error(`The history is not whole: ${JSON.stringify(year.findings)}`);
    return {
      measured: Object.entries(year.measured).map(([name, times]) => summary(name, times)),
      verdicts: [
        {
          text: `a year takes ${(year.byteLength / 1e6).toFixed(0)} MB, wanted less than ${MAX_BYTES / 1e6}`,
          met: year.byteLength < MAX_BYTES,
        },
        {
          text: `the longest that anything else waited is ${year.longestBlockMs.toFixed(0)} ms, wanted at most ${MAX_BLOCK_MS}`,
          met: year.longestBlockMs <= MAX_BLOCK_MS,
        },
      ],
    };
  },
};

function livedIn(directory: string): Year {
  const words = ['--import', 'tsx', '--conditions=source', join(import.meta.dirname, 'history-year.ts'), directory, String(IMAGES)];
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
  return JSON.parse(execFileSync(process.execPath, words, { encoding: 'utf8', env, cwd: join(import.meta.dirname, '..') })) as Year;
}

function summary(name: string, times: readonly number[]): Measured {
  const sorted = times.toSorted((a, b) => a - b);
  const [fastestMs = 0, slowestMs = 0] = [sorted[0], sorted.at(-1)];
  return { name, medianMs: sorted[Math.floor(sorted.length / 2)] ?? 0, fastestMs, slowestMs, peakBytes: undefined };
}
