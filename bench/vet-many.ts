/** How fast are verdicts on 1,000 images that share a confined process? */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { named, PLIMSOLL, type Question, ROUNDS } from './question.ts';
import { measureInTurns } from './rounds.ts';

const COUNT = 1000;
const TIMES_FASTER = 10;
const EACH_IMAGE = 'for image in "$1"/*; do qemu-img info --output=json "$image" || exit; done >/dev/null';
const ALL_IMAGES = '"$1" "$2" vet --json --one-worker "$3"/*';
/** What uploads differ in. */
const OPTIONS = ['cluster_size=64k', 'cluster_size=32k', 'extended_l2=on', 'compat=0.10', 'lazy_refcounts=on,refcount_bits=32'];

export const vetMany: Question = {
  name: 'vet-many',
  title: 'Verdicts on 1,000 small images',
  setting:
    'qcow2 of 1 to 20 GiB as `qemu-img create` makes them, in five variations, files in the page cache. One `plimsoll vet --one-worker` against a shell loop that runs `qemu-img info` once per image, which reads the header and judges nothing.',
  answer: (directory) => {
    const images = join(directory, 'images');
    makeImages(images);
    const measured = measureInTurns(
      [
        { name: 'plimsoll vet --one-worker', words: ['sh', '-c', ALL_IMAGES, 'sh', ...PLIMSOLL, images] },
        { name: 'qemu-img info, 1,000 times', words: ['sh', '-c', EACH_IMAGE, 'sh', images] },
      ],
      { rounds: ROUNDS },
    );
    const times = named(measured, 'qemu-img info, 1,000 times').medianMs / named(measured, 'plimsoll vet --one-worker').medianMs;
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

function makeImages(directory: string): void {
  mkdirSync(directory);
  for (let index = 0; index < COUNT; index += 1) {
    const options = OPTIONS[index % OPTIONS.length] as string;
    const path = join(directory, `upload-${String(index).padStart(4, '0')}.qcow2`);
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', options, path, `${1 + (index % 20)}G`]);
  }
}
