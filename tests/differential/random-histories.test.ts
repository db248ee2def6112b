/**
 * plimsoll's figures against QEMU on images with a random past.
 *
 * `npm run test:system` runs a fixed set, on tmpfs and on btrfs, and `npm test` the first of it. The long run, by hand, needs an hour or so on two cores:
 *
 *   PLIMSOLL_HISTORIES=1000 PLIMSOLL_SEED=7000 npx vitest run tests/differential/random-histories.test.ts
 *
 * Seeds count up from PLIMSOLL_SEED. A failure prints its seed and all operations; PLIMSOLL_HISTORIES=1 with that seed
 * repeats it alone.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GiB } from '#base';
import { repetitions } from '../support/depth.ts';
import { canMount, type MountedFilesystem, withFilesystem } from '../support/loop-mount.ts';
import { FILLS, randomFill, SINGLE } from './fills.ts';
import type { StorageKind } from './image-files.ts';
import { describeHistory, drawHistory, historyState } from './histories.ts';
import { gate } from './in-turns.ts';
import { type Examine, loadProduct } from './product.ts';
import { describeTruth, slackTable } from './report.ts';
import { measureTruth, type StateTruth } from './truth.ts';
import { judge } from './verdict.ts';

const COUNT = Number(process.env['PLIMSOLL_HISTORIES'] ?? repetitions(40, 6));
const FIRST_SEED = Number(process.env['PLIMSOLL_SEED'] ?? 1);
const FIXED_FILLS = [SINGLE, 'descending', 'chunks-8-shuffled', 'everything', 'concurrent-mixed', 'ever-smaller'];
const RANDOM_FILL_COUNT = 3;
/** Every fill waits for the disk on btrfs, and many states have to be built anew for each. */
const DISK_FILLS = [SINGLE, 'chunks-8-shuffled', 'everything'];
/** A test waits at the gate inside its own time, so this is the time of all of them, on a busy machine too. */
const TIMEOUT = Math.max(3_600_000, COUNT * 60_000);

const inTurn = gate(2);
let examine: Examine;

beforeAll(async () => {
  examine = await loadProduct();
});

// tmpfs is fast but has no map of a file; btrfs has one, so the exact figures are checked there as well.
for (const kind of ['tmpfs', 'btrfs'] as const) {
  const mountable = kind === 'tmpfs' || canMount(`random histories on ${kind}`);
  describe.skipIf(!mountable)(`figures after a random history on ${kind}`, () => {
    const truths: StateTruth[] = [];
    let mounted: MountedFilesystem | undefined;
    let root = '';
    beforeAll(async () => {
      mounted = kind === 'tmpfs' ? undefined : await withFilesystem(kind, 4 * GiB);
      root = mkdtempSync(join(mounted?.path ?? '/dev/shm', 'plimsoll-histories-'));
    });
    afterAll(async () => {
      console.log(`${kind}: ${slackTable(truths).text}`);
      rmSync(root, { recursive: true });
      await mounted?.unmount();
    });

    describe.concurrent('seeds', () => {
      // On a disk each takes several times as long.
      const seeds = Array.from({ length: kind === 'tmpfs' ? COUNT : Math.ceil(COUNT / 3) }, (_, index) => FIRST_SEED + index);
      it.for(seeds)('seed %i', { timeout: TIMEOUT }, (seed) =>
        inTurn(async () => {
          truths.push(await expectHistory(seed, root, kind));
        }),
      );
    });
  });
}

async function expectHistory(seed: number, root: string, kind: StorageKind): Promise<StateTruth> {
  const history = drawHistory(seed);
  const isDisk = kind !== 'tmpfs';
  const names = isDisk ? DISK_FILLS : FIXED_FILLS;
  const random = Array.from({ length: isDisk ? 1 : RANDOM_FILL_COUNT }, (_, index) => randomFill(seed * RANDOM_FILL_COUNT + index));
  const fills = [...FILLS.filter(({ name }) => names.includes(name)), ...random];
  const directory = join(root, String(seed));
  mkdirSync(directory);
  try {
    const truth = await measureTruth(historyState(history), { root: directory, kind, fills, examine });
    expect(judge(truth).violations, describeTruth(truth, true)).toEqual([]);
    return truth;
  } catch (error) {
    if (error instanceof Error) error.message += `\n${describeHistory(history)}`;
    throw error;
  } finally {
    rmSync(directory, { recursive: true });
  }
}
