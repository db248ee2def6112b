/** What does it cost to keep knowing 10,000 images? */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import type { Looks } from './monitor-scans.ts';
import { named, type Question, ROUNDS } from './question.ts';
import { type Measured, measureInTurns } from './rounds.ts';
import { makeSmallImages } from './small-images.ts';

const COUNT = 10_000;
const MAX_TIMES_STAT = 3;
const TIMES_FASTER = 20;
const MAX_BLOCKED_MS = 20;
const MAX_BYTES = 150e6;
const KOFFI = join(import.meta.dirname, '..', 'node_modules', 'koffi', 'index.js');
const DU_AND_STAT = 'du -a "$1" >/dev/null && find "$1" -type f -print0 | xargs -0 stat >/dev/null';

export const monitoring: Question = {
  name: 'monitor',
  title: '10,000 images, looked at again and again',
  setting:
    'qcow2 of 1 GiB with one to four clusters written, files in the page cache. The looks are those of one process each round: a first one, ten without a change, one after a write to one image. `du` and `stat` read no image; `stat` gets its files in batches.',
  answer: (directory) => {
    const store = join(directory, 'store');
    makeSmallImages(store, COUNT);
    const program = bundled(directory);
    const peers = measureInTurns([{ name: 'du -a, then stat', words: ['sh', '-c', DU_AND_STAT, 'sh', store] }], { rounds: ROUNDS });
    const rounds = Array.from({ length: ROUNDS }, () => looksAt(program, store));
    const measured = [
      ...peers,
      summaryOf(
        'first look',
        rounds.map(({ firstMs }) => firstMs),
        Math.max(...rounds.map(({ residentBytes }) => residentBytes)),
      ),
      summaryOf(
        'look without a change',
        rounds.flatMap(({ unchangedMs }) => unchangedMs),
      ),
      summaryOf(
        'look after a write to one',
        rounds.map(({ changedMs }) => changedMs),
      ),
    ];
    const first = named(measured, 'first look');
    const slower = first.medianMs / named(measured, 'du -a, then stat').medianMs;
    const faster = first.medianMs / named(measured, 'look without a change').medianMs;
    const blocked = median(rounds.map((one) => Math.max(one.firstBlockedMs, one.laterBlockedMs)));
    const bytes = first.peakBytes ?? 0;
    return {
      measured,
      verdicts: [
        {
          text: `the first look takes ${slower.toFixed(1)} times as long as du and stat, wanted at most ${MAX_TIMES_STAT}`,
          met: slower <= MAX_TIMES_STAT,
        },
        {
          text: `a look without a change is ${faster.toFixed(0)} times faster than the first, wanted at least ${TIMES_FASTER}`,
          met: faster >= TIMES_FASTER,
        },
        {
          text: `nothing else waits longer than ${blocked.toFixed(0)} ms (median of the rounds' worst), wanted at most ${MAX_BLOCKED_MS}`,
          met: blocked <= MAX_BLOCKED_MS,
        },
        { text: `${(bytes / 1e6).toFixed(0)} MB of memory at the end, wanted below ${MAX_BYTES / 1e6}`, met: bytes < MAX_BYTES },
      ],
    };
  },
};

function bundled(directory: string): string {
  const program = join(directory, 'looks.mjs');
  buildSync({
    entryPoints: [join(import.meta.dirname, 'monitor-scans.ts')],
    outfile: program,
    bundle: true,
    format: 'esm',
    platform: 'node',
    conditions: ['source'],
    // By its full name: the program lies where no node_modules is.
    alias: { koffi: KOFFI },
    external: [KOFFI, 'zstddec'],
    logLevel: 'warning',
  });
  return program;
}

function looksAt(program: string, store: string): Looks {
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
  return JSON.parse(execFileSync(process.execPath, [program, store], { encoding: 'utf8', env })) as Looks;
}

function summaryOf(name: string, times: readonly number[], peakBytes?: number): Measured {
  return { name, medianMs: median(times), fastestMs: Math.min(...times), slowestMs: Math.max(...times), peakBytes };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
