/** How fast are the figures of 1,000 images? */
import { join } from 'node:path';
import { named, PLIMSOLL, type Question, ROUNDS } from './question.ts';
import { measureInTurns } from './rounds.ts';
import { makeSmallImages } from './small-images.ts';

const COUNT = 1000;
const TIMES_FASTER = 10;
const EACH_IMAGE = 'for image in "$1"/*; do qemu-img info --output=json "$image" || exit; done >/dev/null';

export const manyImages: Question = {
  name: 'many-images',
  title: '1,000 small images',
  setting:
    'qcow2 of 1 GiB with one to four clusters written, files in the page cache. One `plimsoll scan` against a shell loop that runs `qemu-img info` once per image.',
  answer: (directory) => {
    const store = join(directory, 'store');
    makeSmallImages(store, COUNT);
    const measured = measureInTurns(
      [
        { name: 'plimsoll scan --json', words: [...PLIMSOLL, 'scan', '--json', store], exitCodes: [0, 10, 11] },
        { name: 'qemu-img info, 1,000 times', words: ['sh', '-c', EACH_IMAGE, 'sh', store] },
      ],
      { rounds: ROUNDS },
    );
    const times = named(measured, 'qemu-img info, 1,000 times').medianMs / named(measured, 'plimsoll scan --json').medianMs;
    return {
      measured,
      verdicts: [
        {
          text: `${times.toFixed(1)} times faster than qemu-img info once per image, wanted at least ${TIMES_FASTER}`,
          met: times >= TIMES_FASTER,
        },
      ],
    };
  },
};
