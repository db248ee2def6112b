/**
 * The property that a use `attach` promises, for the formats that only a policy attaches: whatever a guest writes through QEMU, the
 * image opens as the same disk, with the bytes written, and opens no other file. Issue 8, A1 to A13.
 *
 * PLIMSOLL_TRIALS and PLIMSOLL_SEED choose a longer run.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { Prng } from '../differential/prng.ts';
import { complaintAfterGuest, verdictOn } from './container-guest.ts';
import { aTrial, makeBases, type Trial } from './container-trials.ts';

const TRIALS = Number(process.env['PLIMSOLL_TRIALS'] ?? 100);
const SEED = Number(process.env['PLIMSOLL_SEED'] ?? 8);
/** Of those that may be attached so many are written to: each takes a dozen processes. */
const WRITTEN = Number(process.env['PLIMSOLL_WRITTEN'] ?? 10);
const MINUTE_MS = 60_000;

const directory = mkdtempSync('/dev/shm/plimsoll-container-writes-');
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('an image of a format that a policy attaches', () => {
  it(
    'keeps its disk and its use whatever the guest writes',
    async () => {
      const random = new Prng(SEED);
      const bases = makeBases(directory);
      const attached: Trial[] = bases.filter((_, index) => index % 5 === 1);
      for (let count = 0; count < TRIALS; count += 1) {
        const trial = aTrial(bases, random);
        if ((await verdictOn(trial.bytes, trial.format)).use === 'attach') attached.push(trial);
      }
      expect(attached.length).toBeGreaterThan(TRIALS / 10);
      const complaints: string[] = [];
      for (const trial of attached.slice(0, WRITTEN)) {
        const complaint = await complaintAfterGuest(trial, directory, random);
        if (complaint !== undefined) complaints.push(`${trial.name}: ${complaint}`);
      }
      expect(complaints).toEqual([]);
    },
    (WRITTEN + TRIALS) * MINUTE_MS,
  );
});
