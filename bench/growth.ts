/** Does the time of a scan grow linearly with the number of images? */
import { join } from 'node:path';
import { named, PLIMSOLL, type Question, ROUNDS } from './question.ts';
import { measureInTurns } from './rounds.ts';
import { makeSmallImages } from './small-images.ts';

/** Ten times the images, at most this many times the time; starting Node makes the small scan look slower than it is. */
const MAX_TIMES = 11;

export const growth: Question = {
  name: 'growth',
  title: '1,000 images against 10,000',
  setting: 'The same images as above, files in the page cache.',
  answer: (directory) => {
    const [few, many] = [join(directory, 'few'), join(directory, 'many')];
    makeSmallImages(few, 1000);
    makeSmallImages(many, 10_000);
    const measured = measureInTurns(
      [
        { name: 'scan of 1,000', words: [...PLIMSOLL, 'scan', '--json', few], exitCodes: [0, 10, 11] },
        { name: 'scan of 10,000', words: [...PLIMSOLL, 'scan', '--json', many], exitCodes: [0, 10, 11] },
      ],
      { rounds: ROUNDS, memory: true },
    );
    const times = named(measured, 'scan of 10,000').medianMs / named(measured, 'scan of 1,000').medianMs;
    return {
      measured,
      verdicts: [
        { text: `10 times the images take ${times.toFixed(1)} times the time, wanted at most ${MAX_TIMES}`, met: times <= MAX_TIMES },
      ],
    };
  },
};
