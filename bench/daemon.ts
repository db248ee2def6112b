/** What does a daemon over 10,000 images cost, and how long do those wait who read from it? */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import type { AnswerTimes } from './daemon-readers.ts';
import type { DaemonRun } from './daemon-run.ts';
import { named, PLIMSOLL, type Question } from './question.ts';
import { type Measured, measureInTurns } from './rounds.ts';
import { makeSmallImages } from './small-images.ts';

const COUNT = 10_000;
/** Of these, `qemu-img info` gets so many: all of them would take a minute a round. */
const SAMPLE = 300;
const LIVES = 3;
const PEER_ROUNDS = 3;
/** Those whose slowest answers are the slowest. */
const SHOWN_PAGES = 8;
const MAX_TIMES_STAT = 3;
const TIMES_FASTER = 20;
const MAX_ANSWER_MS = 50;
const MAX_BYTES = 300e6;
const DU = 'du -a "$1" >/dev/null';
const BATCHES = `${DU} && find "$1" -type f -exec stat {} + >/dev/null`;
const EACH_FILE = `${DU} && find "$1" -type f -print0 | xargs -0 -n1 stat >/dev/null`;
const INFO = `for image in $(ls -d "$1"/* | head -n ${SAMPLE}); do qemu-img info --output=json "$image" || exit; done >/dev/null`;

export const daemon: Question = {
  name: 'daemon',
  title: 'A daemon over 10,000 images, read by 50 while it scans',
  setting:
    `qcow2 of 1 GiB with one to four clusters written, files in the page cache. \`plimsoll serve\` as it is; ${LIVES} lives, each with a first scan, ten looks without a change, and 20 s in which it scans everything again and again while 50 readers, another process, ask for every page of the API that only looks, in turns, each 100 ms after its last answer was there to the last byte. ` +
    '`du` and `stat` read no image. `stat` gets its files in batches, or one at a time as a loop over names does it.' +
    ` \`qemu-img info\` reads a header; it is measured on ${SAMPLE} images and multiplied.`,
  answer: (directory) => {
    const store = join(directory, 'store');
    makeSmallImages(store, COUNT);
    const peers = peersOf(store);
    const programs = bundled(directory);
    const lives = Array.from({ length: LIVES }, (_, life) => liveOnce(programs, store, join(directory, `state-${life}`)));
    const answers = pooled(lives.flatMap((life) => life.answers));
    const pages = [...answers].map(([path, times]): Measured => ({ ...summaryOf(`answer: ${path}`, times), slowestMs: at(times, 0.99) }));
    const slowestPages = pages.toSorted((a, b) => b.slowestMs - a.slowestMs);
    const slowestPage = slowestPages[0] as Measured;
    const every = [...answers.values()].flat().toSorted((a, b) => a - b);
    const measured = [
      ...peers,
      {
        ...summaryOf('first scan', sorted(lives.map(({ firstMs }) => firstMs))),
        peakBytes: Math.max(...lives.map(({ peakBytes }) => peakBytes)),
      },
      summaryOf('look without a change', sorted(lives.flatMap(({ unchangedMs }) => unchangedMs))),
      summaryOf(`an answer (of ${every.length})`, every),
      ...slowestPages.slice(0, SHOWN_PAGES).map((page) => ({ ...page, name: `${page.name} (slowest: 99 %)` })),
    ];
    const first = named(measured, 'first scan').medianMs;
    const timesBatches = first / named(measured, 'du -a, then stat in batches').medianMs;
    const timesEach = first / named(measured, 'du -a, then stat of each').medianMs;
    const faster = first / named(measured, 'look without a change').medianMs;
    const peak = Math.max(...lives.map(({ peakBytes }) => peakBytes));
    return {
      measured,
      verdicts: [
        {
          text: `the first scan takes ${timesEach.toFixed(1)} times as long as du and a stat of each file, wanted at most ${MAX_TIMES_STAT}`,
          met: timesEach <= MAX_TIMES_STAT,
        },
        {
          text: `and ${timesBatches.toFixed(1)} times as long as du and stat in batches, wanted at most ${MAX_TIMES_STAT}`,
          met: timesBatches <= MAX_TIMES_STAT,
        },
        {
          text: `a look without a change is ${faster.toFixed(0)} times faster than the first, wanted at least ${TIMES_FASTER}`,
          met: faster >= TIMES_FASTER,
        },
        {
          text: `99 of 100 answers are there within ${at(every, 0.99).toFixed(1)} ms, wanted at most ${MAX_ANSWER_MS}`,
          met: at(every, 0.99) <= MAX_ANSWER_MS,
        },
        {
          text: `of the slowest page (${slowestPage.name}) within ${slowestPage.slowestMs.toFixed(1)} ms, wanted at most ${MAX_ANSWER_MS}`,
          met: slowestPage.slowestMs <= MAX_ANSWER_MS,
        },
        { text: `${(peak / 1e6).toFixed(0)} MB of memory at most, wanted below ${MAX_BYTES / 1e6}`, met: peak < MAX_BYTES },
      ],
    };
  },
};

function peersOf(store: string): Measured[] {
  const shell = (line: string): readonly [string, ...string[]] => ['sh', '-c', line, 'sh', store];
  const measured = measureInTurns(
    [
      { name: 'du -a, then stat in batches', words: shell(BATCHES) },
      { name: 'du -a, then stat of each', words: shell(EACH_FILE) },
      { name: 'qemu-img info', words: shell(INFO) },
    ],
    { rounds: PEER_ROUNDS },
  );
  const info = named(measured, 'qemu-img info');
  const whole = (ms: number): number => (ms * COUNT) / SAMPLE;
  return [
    ...measured.filter((one) => one !== info),
    {
      ...info,
      name: `qemu-img info of each (${SAMPLE}, times ${(COUNT / SAMPLE).toFixed(1)})`,
      medianMs: whole(info.medianMs),
      fastestMs: whole(info.fastestMs),
      slowestMs: whole(info.slowestMs),
    },
  ];
}

interface Programs {
  readonly run: string;
  readonly readers: string;
}

function bundled(directory: string): Programs {
  const [run, readers] = ['daemon-run', 'daemon-readers'].map((name) => {
    const program = join(directory, `${name}.mjs`);
    buildSync({
      entryPoints: [join(import.meta.dirname, `${name}.ts`)],
      outfile: program,
      bundle: true,
      format: 'esm',
      platform: 'node',
      logLevel: 'warning',
    });
    return program;
  }) as [string, string];
  return { run, readers };
}

function liveOnce({ run, readers }: Programs, store: string, state: string): DaemonRun {
  mkdirSync(state);
  const { NODE_EXTRA_CA_CERTS: _, NODE_OPTIONS: __, ...env } = process.env;
  const words = [run, PLIMSOLL[1], store, state, readers];
  const said = execFileSync(process.execPath, words, { encoding: 'utf8', env, maxBuffer: 2 ** 28, stdio: ['ignore', 'pipe', 'ignore'] });
  return JSON.parse(said) as DaemonRun;
}

/** Times by page, ascending, of all lives. */
function pooled(answers: readonly AnswerTimes[]): Map<string, number[]> {
  const byPath = new Map<string, number[]>();
  for (const { path, times } of answers) byPath.set(path, [...(byPath.get(path) ?? []), ...times]);
  return new Map([...byPath].map(([path, times]) => [path, sorted(times)]));
}

function sorted(values: readonly number[]): number[] {
  return values.toSorted((a, b) => a - b);
}

/** Of an ascending list, the value that a share of them does not exceed. */
function at(ascending: readonly number[], share: number): number {
  return ascending[Math.max(0, Math.ceil(share * ascending.length) - 1)] ?? 0;
}

function summaryOf(name: string, ascending: readonly number[]): Measured {
  return { name, medianMs: at(ascending, 0.5), fastestMs: at(ascending, 0), slowestMs: at(ascending, 1), peakBytes: undefined };
}
