/** What does a scrape of a store of 10,000 images cost the daemon? */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { named, type Question, ROUNDS } from './question.ts';
import { measureInTurns, type Measured } from './rounds.ts';

const SCRAPES = 21;
const MAX_MS = 100;
/** Longer, and other requests wait noticeably: an API page has 50 ms. */
const MAX_HELD_MS = 25;

export const metrics: Question = {
  name: 'metrics',
  title: 'A scrape of 10,000 images',
  setting: `Six gauges each, 6.5 MB, from views in memory. Whole processes that make the views and then write the text not at all, once, or ${SCRAPES} times: what the later scrapes cost is the difference. As JSON the views are larger, but written by V8 itself.`,
  answer: (directory) => {
    const writer = join(directory, 'writer.mjs');
    buildSync({
      entryPoints: [join(import.meta.dirname, 'metrics-writer.ts')],
      outfile: writer,
      bundle: true,
      format: 'esm',
      platform: 'node',
      conditions: ['source'],
      logLevel: 'warning',
    });
    const words = (way: string, times: number): [string, ...string[]] => [process.execPath, writer, way, String(times)];
    const measured = measureInTurns(
      [
        { name: 'no scrape', words: words('text', 0) },
        { name: 'one scrape', words: words('text', 1) },
        { name: `${SCRAPES} scrapes`, words: words('text', SCRAPES) },
        { name: `${SCRAPES} scrapes in pieces`, words: words('chunks', SCRAPES) },
        { name: 'the images as JSON once', words: words('json', 1) },
        { name: `the images as JSON ${SCRAPES} times`, words: words('json', SCRAPES) },
      ],
      { rounds: ROUNDS, memory: true },
    );
    const [program, ...rest] = words('chunks', SCRAPES);
    const heldMs = Number(execFileSync(program, rest, { encoding: 'utf8' }));
    return {
      measured,
      verdicts: [
        later(measured, 'one scrape', `${SCRAPES} scrapes`),
        {
          text: `in pieces the event loop is held for ${heldMs.toFixed(1)} ms at a time, wanted at most ${MAX_HELD_MS}`,
          met: heldMs <= MAX_HELD_MS,
        },
      ],
    };
  },
};

function later(measured: readonly Measured[], once: string, often: string): { text: string; met: boolean } {
  const ms = (named(measured, often).medianMs - named(measured, once).medianMs) / (SCRAPES - 1);
  return { text: `a later scrape takes ${ms.toFixed(1)} ms, wanted at most ${MAX_MS}`, met: ms <= MAX_MS };
}
