/**
 * Prints one line per image state, for tuning by hand:
 *
 *   npx tsx --conditions=source tests/differential/run.ts [--state NAME...] [--tag TAG...] [--fs tmpfs|ext4|xfs|btrfs]
 *     [--fills a,b] [--random COUNT] [--dump] [--verbose]
 *
 * --random adds so many fills drawn at random, to search for worse than the fixed ones.
 * --dump measures QEMU only and does not load plimsoll; --verbose adds a line per fill and the components.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { MiB } from '#base';
import { withFilesystem } from '../support/loop-mount.ts';
import { FILLS, randomFill } from './fills.ts';
import type { StorageKind } from './image-files.ts';
import { inTurns } from './in-turns.ts';
import { loadProduct } from './product.ts';
import { describeTruth, slackTable } from './report.ts';
import { DISK_STATES, STATES } from './states.ts';
import { measureTruth, defaultFills } from './truth.ts';

const { values } = parseArgs({
  options: {
    state: { type: 'string', multiple: true, default: [] },
    tag: { type: 'string', multiple: true, default: [] },
    fs: { type: 'string', default: 'tmpfs' },
    fills: { type: 'string' },
    random: { type: 'string', default: '0' },
    dump: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
  allowPositionals: false,
});

const kind = values.fs as StorageKind;
const names = values.fills?.split(',');
const random = Array.from({ length: Number(values.random) }, (_, seed) => randomFill(seed));
const named = FILLS.filter((fill) => names?.includes(fill.name) === true);
if (names !== undefined && named.length !== names.length)
  throw new Error(`No such fill; there are ${FILLS.map((fill) => fill.name).join(', ')}`);
const isAsked = values.state.length + values.tag.length > 0;
const chosen = isAsked
  ? STATES.filter(({ name, tags }) => values.state.includes(name) || tags.some((tag) => values.tag.includes(tag)))
  : kind === 'tmpfs'
    ? STATES
    : DISK_STATES;
if (chosen.length === 0) throw new Error(`No such state; there are ${STATES.map((state) => state.name).join(', ')}`);

const examine = values.dump ? undefined : await loadProduct();
const mounted = kind === 'tmpfs' ? undefined : await withFilesystem(kind, 4096 * MiB);
const root = mounted?.path ?? mkdtempSync('/dev/shm/plimsoll-differential-');
const began = Date.now();
try {
  const truths = await inTurns(2, chosen, async (state) => {
    const directory = join(root, state.name);
    mkdirSync(directory);
    const start = Date.now();
    const fills = [...(names === undefined ? defaultFills(state, kind) : named), ...random];
    try {
      const truth = await measureTruth(state, { root: directory, kind, fills, examine });
      console.log(`${describeTruth(truth, values.verbose)} [${Date.now() - start} ms]`);
      return truth;
    } catch (error) {
      console.log(`${state.name}: FAILED ${error instanceof Error ? error.message : String(error)}`);
      process.exitCode = 1;
      return undefined;
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
  console.log(slackTable(truths.filter((truth) => truth !== undefined)).text);
  console.log(`${chosen.length} states on ${kind} in ${((Date.now() - began) / 1000).toFixed(1)} s`);
} finally {
  if (mounted === undefined) rmSync(root, { recursive: true });
  else await mounted.unmount();
}
