/** What does a verdict cost, and what does confinement add to it? */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { named, PLIMSOLL, type Question, ROUNDS } from './question.ts';
import { measureInTurns } from './rounds.ts';

/** What the confined process may cost over reading inline. */
const MAX_WALL_MS = 150;

export const vetting: Question = {
  name: 'vet',
  title: 'Vetting',
  setting:
    'One fully mapped qcow2 of 1 TiB, and an empty one of 1 GiB. Whole processes, files in the page cache. Confined is how `plimsoll vet` works; inline is `--unconfined`.',
  answer: (directory) => {
    const [huge, small] = [join(directory, 'huge.qcow2'), join(directory, 'small.qcow2')];
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', 'preallocation=metadata', huge, '1T']);
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', small, '1G']);
    const measured = measureInTurns(
      [
        { name: 'vet, 1 TiB, confined', words: [...PLIMSOLL, 'vet', '--json', huge] },
        { name: 'vet, 1 TiB, inline', words: [...PLIMSOLL, 'vet', '--json', '--unconfined', huge] },
        { name: 'qemu-img check, 1 TiB', words: ['qemu-img', 'check', '-q', huge] },
        { name: 'vet, small, confined', words: [...PLIMSOLL, 'vet', '--json', small] },
        { name: 'vet, small, inline', words: [...PLIMSOLL, 'vet', '--json', '--unconfined', small] },
      ],
      { rounds: ROUNDS, memory: true },
    );
    const times = named(measured, 'qemu-img check, 1 TiB').medianMs / named(measured, 'vet, 1 TiB, confined').medianMs;
    const confinement = named(measured, 'vet, small, confined').medianMs - named(measured, 'vet, small, inline').medianMs;
    return {
      measured,
      verdicts: [
        { text: `a verdict on 1 TiB takes ${(1 / times).toFixed(2)} of the time of qemu-img check, wanted less than 1`, met: times > 1 },
        { text: `the confinement costs ${confinement.toFixed(0)} ms, wanted at most ${MAX_WALL_MS}`, met: confinement <= MAX_WALL_MS },
      ],
    };
  },
};
