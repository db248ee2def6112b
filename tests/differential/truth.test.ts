/**
 * plimsoll's figures against QEMU itself: every state, copied and filled in every way, on tmpfs, where nothing is charged
 * but what QEMU writes; and the states for which the host's map of the file matters on ext4, XFS and btrfs.
 *
 * `npm test` measures a share of the states, `npm run test:system` all of them.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GiB } from '#base';
import { sampled } from '../support/depth.ts';
import { canMount, type MountedFilesystem, withFilesystem } from '../support/loop-mount.ts';
import type { StorageKind } from './image-files.ts';
import { gate } from './in-turns.ts';
import { type Examine, loadProduct } from './product.ts';
import { describeTruth, slackTable } from './report.ts';
import { DISK_STATES, STATES, STORED_HOLES } from './states.ts';
import type { ImageState } from './states/site.ts';
import { measureTruth, type StateTruth, defaultFills } from './truth.ts';
import { judge } from './verdict.ts';

/** Primes, so that the states on tmpfs and on each disk differ. */
const MEMORY_STEP = 5;
const DISK_STEP = 11;
const MEMORY_STATES = sampled(STATES, MEMORY_STEP);
const MINUTES = 60_000;
/** QEMU uses a core for each; a test waits at the gate inside its own time, so the limit is the time of all of them. */
const inTurn = gate(2);
const TIMEOUT = 60 * MINUTES;

const SLACK_LIMIT_RATIO = 0.03;
/** What no fill here may reach although the bound cannot rule it out: see STORED_HOLES. */
const STORED_HOLES_LIMIT_RATIO = 0.3;

let examine: Examine;
beforeAll(async () => {
  examine = await loadProduct();
});

async function measureIn(root: string, state: ImageState, kind: StorageKind): Promise<StateTruth> {
  const directory = join(root, state.name);
  mkdirSync(directory);
  try {
    return await measureTruth(state, { root: directory, kind, fills: defaultFills(state, kind), examine });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function expectTruth(truth: StateTruth): void {
  const { violations } = judge(truth);
  expect(violations, describeTruth(truth, true)).toEqual([]);
}

describe('figures on tmpfs', () => {
  const root = mkdtempSync('/dev/shm/plimsoll-truth-');
  const truths: StateTruth[] = [];
  afterAll(() => rmSync(root, { recursive: true }));

  describe.concurrent('each state', () => {
    it.for(MEMORY_STATES.map((state) => [state.name, state] as const))('%s', { timeout: TIMEOUT }, ([, state]) =>
      inTurn(async () => {
        const truth = await measureIn(root, state, 'tmpfs');
        truths.push(truth);
        expectTruth(truth);
      }),
    );
  });

  describe('slack', () => {
    it('is 0.00 % in the median', () => {
      const table = slackTable(truths);
      console.log(table.text);
      expect(truths.length).toBe(MEMORY_STATES.length);
      expect(Math.abs(table.medianRatio)).toBeLessThan(0.000_05);
    });

    it('is below 3 % at worst', () => {
      expect(slackTable(truths.filter((truth) => !hasStoredHoles(truth))).worstRatio).toBeLessThan(SLACK_LIMIT_RATIO);
    });

    it('is below 30 % at worst where holes have storage', () => {
      expect(slackTable(truths.filter(hasStoredHoles)).worstRatio).toBeLessThan(STORED_HOLES_LIMIT_RATIO);
    });
  });
});

function hasStoredHoles(truth: StateTruth): boolean {
  return truth.before.state.tags.includes(STORED_HOLES);
}

for (const [index, kind] of (['ext4', 'xfs', 'btrfs'] as const).entries()) {
  const mountable = canMount(`figures on ${kind}`);
  describe.skipIf(!mountable)(`figures on ${kind}`, () => {
    let mounted: MountedFilesystem;
    beforeAll(async () => {
      mounted = await withFilesystem(kind, 2 * GiB);
    });
    afterAll(() => mounted.unmount());

    describe.concurrent('each state', () => {
      it.for(sampled(DISK_STATES, DISK_STEP, index).map((state) => [state.name, state] as const))('%s', { timeout: TIMEOUT }, ([, state]) =>
        inTurn(async () => expectTruth(await measureIn(mounted.path, state, kind))),
      );
    });
  });
}
