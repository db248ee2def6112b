/** What does starting plimsoll cost over starting Node? */
import { named, PLIMSOLL, type Question } from './question.ts';
import { measureInTurns } from './rounds.ts';

const MAX_MS_OVER_NODE = 25;

export const startUp: Question = {
  name: 'start-up',
  title: 'Start-up',
  setting: 'Whole processes, 41 rounds.',
  answer: () => {
    const measured = measureInTurns(
      [
        { name: 'node -e 0', words: [process.execPath, '-e', '0'] },
        { name: 'plimsoll --version', words: [...PLIMSOLL, '--version'] },
      ],
      { rounds: 41 },
    );
    const over = named(measured, 'plimsoll --version').medianMs - named(measured, 'node -e 0').medianMs;
    return {
      measured,
      verdicts: [
        {
          text: `plimsoll --version takes ${over.toFixed(1)} ms over bare Node, wanted at most ${MAX_MS_OVER_NODE}`,
          met: over <= MAX_MS_OVER_NODE,
        },
      ],
    };
  },
};
