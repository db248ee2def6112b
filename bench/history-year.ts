/**
 * Makes a year of history and asks it, in a process of its own: prints what it took as JSON. Started by history.ts.
 *
 *   node --import tsx --conditions=source bench/history-year.ts DIRECTORY IMAGES
 *
 * Ticks are given only where something of them is left after a year: all the daily ones, the six-hourly of the last month, the
 * hourly of the last week, and every ten minutes of the last two days, in which each tenth image changes each time. Each
 * minute of the store for the last two weeks, every ten minutes for a quarter, else hourly.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { History } from '../src/pool/state/history.ts';
import type { ImageState, StoreState } from '../src/pool/state/history-series.ts';

const [directory = '', count = '1000'] = process.argv.slice(2);
const IMAGES = Number(count);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const START = Date.UTC(2025, 0, 1);
const END = START + 365 * DAY;
const GiB = 2 ** 30;

let monotonicMs = 0;
const history = await History.open(join(directory, 'history.db'), { monotonicMs: () => monotonicMs });

const store = (atMs: number): StoreState => ({
  id: 'store',
  size: 20_000 * GiB,
  available: 9000 * GiB + ((atMs / 1000) % 977) * 4096,
  allocation: 10_000 * GiB + (atMs % 991) * 4096,
  commitment: 40_000 * GiB,
  residual: 30_000 * GiB,
  reserved: 100 * GiB,
});
const images = (step: number, changes: (index: number) => boolean): ImageState[] =>
  Array.from({ length: IMAGES }, (_, index) => ({
    id: `image-${index}`,
    storeId: 'store',
    path: `/srv/vm/${index}.qcow2`,
    length: 40 * GiB + index * 65_536,
    allocation: 10 * GiB + index * 65_536 + (changes(index) ? step * 65_536 : 0),
    commitment: 41 * GiB + index * 4096,
  }));

function imagesAt(atMs: number): ImageState[] {
  const left = END - atMs;
  const step = Math.round((atMs - START) / (10 * MINUTE));
  if (atMs % DAY === 0 || (left <= 30 * DAY && atMs % (6 * HOUR) === 0)) return images(step, () => true);
  if (left <= 7 * DAY && atMs % HOUR === 0) return images(step, () => true);
  return left <= 2 * DAY && atMs % (10 * MINUTE) === 0 ? images(step, (index) => index % 10 === step % 10) : [];
}

function stepAt(atMs: number): number {
  const left = END - atMs;
  if (left <= 14 * DAY) return MINUTE;
  return left <= 90 * DAY ? 10 * MINUTE : HOUR;
}

async function lived(fromMs: number, toMs: number): Promise<void> {
  for (let atMs = fromMs; atMs < toMs; atMs += stepAt(atMs)) {
    monotonicMs = atMs - START;
    await history.append({ atMs, stores: [store(atMs)], images: imagesAt(atMs) });
    if (atMs % DAY === 0) await history.compact(atMs);
  }
}

async function timed(work: () => unknown): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

async function times(rounds: number, work: (round: number) => unknown): Promise<number[]> {
  const list: number[] = [];
  for (let round = 0; round < rounds; round += 1) list.push(await timed(() => work(round)));
  return list;
}

const yearMs = await timed(() => lived(START, END));
let byteLength = 0;
for (const name of readdirSync(directory)) byteLength += statSync(join(directory, name)).size;

const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
const hourly = await times(7, (round) => {
  monotonicMs = END + round * DAY - START;
  return history.append({ atMs: END + round * DAY, stores: [store(END)], images: images(round, () => true) });
});
const minutely = await times(7, (round) => {
  monotonicMs = END + 6 * DAY + (round + 1) * MINUTE - START;
  return history.append({ atMs: END + 6 * DAY + (round + 1) * MINUTE, stores: [store(END)], images: images(6, () => true) });
});
const compacting = await times(1, () => {
  monotonicMs += 2 * HOUR;
  return history.compact(END + 6 * DAY);
});
delay.disable();

const year = { fromMs: END - 365 * DAY, toMs: END, points: 500 };
const week = { fromMs: END - 7 * DAY, toMs: END, points: 500 };
console.log(
  JSON.stringify({
    yearMs,
    byteLength,
    findings: history.findings(),
    longestBlockMs: delay.max / 1e6,
    measured: {
      'a tick in which all images are written': hourly,
      'a tick in which none changed': minutely,
      'compacting what a week left': compacting,
      'a year of a store, 500 points': await times(21, () => history.storeSamples('store', year)),
      'a week of a store, 500 points': await times(21, () => history.storeSamples('store', week)),
      'a year of an image, 500 points': await times(21, (round) => history.imageSamples(`image-${round * 7}`, year)),
      'a week of an image, 500 points': await times(21, (round) => history.imageSamples(`image-${round * 7}`, week)),
      'points of all images, for forecasts': await times(7, () => history.imagePoints('store', END - 7 * DAY)),
    },
  }),
);
history.close();
