/** How fast, and in how much memory, are the figures of one huge image whose every cluster is mapped? */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { named, PLIMSOLL, type Question, ROUNDS } from './question.ts';
import { measureInTurns } from './rounds.ts';

const TIMES_FASTER = 5;
const MAX_BYTES = 200 * 1000 * 1000;

export const fullyMapped: Question = {
  name: 'fully-mapped',
  title: 'One fully mapped image of 1 TiB',
  setting:
    'qcow2, preallocation=metadata: 16,777,216 clusters mapped by 128 MiB of L2 tables. Whole processes, files in the page cache. `qemu-img info` reads the header only and is there for scale.',
  answer: (directory) => {
    const image = join(directory, 'huge.qcow2');
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', 'preallocation=metadata', image, '1T']);
    const measured = measureInTurns(
      [
        { name: 'plimsoll info --json', words: [...PLIMSOLL, 'info', '--json', image] },
        { name: 'qemu-img check', words: ['qemu-img', 'check', '-q', image] },
        { name: 'qemu-img measure', words: ['qemu-img', 'measure', '-O', 'qcow2', image] },
        { name: 'qemu-img info', words: ['qemu-img', 'info', '--output=json', image] },
      ],
      { rounds: ROUNDS, memory: true },
    );
    const ours = named(measured, 'plimsoll info --json');
    const times = named(measured, 'qemu-img check').medianMs / ours.medianMs;
    const peak = ours.peakBytes ?? Infinity;
    return {
      measured,
      verdicts: [
        { text: `${times.toFixed(1)} times faster than qemu-img check, wanted at least ${TIMES_FASTER}`, met: times >= TIMES_FASTER },
        { text: `peak memory ${(peak / 1e6).toFixed(0)} MB, wanted below ${MAX_BYTES / 1e6}`, met: peak < MAX_BYTES },
      ],
    };
  },
};
