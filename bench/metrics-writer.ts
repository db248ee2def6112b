/**
 * Makes 10,000 images in memory and writes their metrics; a contender of metrics.ts, which bundles it:
 * `node metrics-writer.mjs text|chunks|json TIMES`. `chunks` prints for how many milliseconds the event loop was held at most,
 * in the later half of the scrapes.
 */
import { performance } from 'node:perf_hooks';
import { metricsChunks, metricsText } from '../src/server/metrics.ts';
import { anImageView, aService } from '../tests/support/service.ts';

const IMAGES = 10_000;

const [way, timesText] = process.argv.slice(2);
const times = Number(timesText);
const images = Array.from({ length: IMAGES }, (_, index) =>
  anImageView({ path: `/srv/vm/vm-${index}.qcow2`, id: `i${index}`, machine: `vm-${index}`, allocation: 200_704 + index * 4096 }),
);
const service = aService({ images });

/** Of one scrape in pieces: the longest time between two turns of the event loop. */
async function longestHold(): Promise<number> {
  let longest = 0;
  let turned = performance.now();
  let isOver = false;
  const turn = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - turned);
    turned = now;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  for await (const piece of metricsChunks(service)) if (piece.length === 0) throw new Error('an empty piece');
  isOver = true;
  return longest;
}

const holds: number[] = [];
for (let round = 0; round < times; round += 1) {
  if (way === 'text') await metricsText(service);
  else if (way === 'json') JSON.stringify(await service.queryImages({ sort: 'path', descending: false, offset: 0, limit: IMAGES }));
  else holds.push(await longestHold());
}
if (holds.length > 0) console.log(Math.max(...holds.slice(Math.floor(holds.length / 2))).toFixed(1));
