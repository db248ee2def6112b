/** What a file of this folder answers: one question, its contenders measured side by side, and whether the target is met. */
import { join } from 'node:path';
import type { Measured } from './rounds.ts';

export interface Verdict {
  /** What was wanted, in words with the figure reached. */
  readonly text: string;
  readonly met: boolean;
}

export interface Answer {
  readonly measured: readonly Measured[];
  readonly verdicts: readonly Verdict[];
}

export interface Question {
  readonly name: string;
  readonly title: string;
  /** How it was set up, for the reader of the table. */
  readonly setting: string;
  /** Makes its files below `directory`, which is empty, and measures. */
  readonly answer: (directory: string) => Answer;
}

/** The built command. */
export const PLIMSOLL: readonly [string, string] = [process.execPath, join(import.meta.dirname, '..', 'dist', 'main.js')];

/** At least seven rounds; more where a round is short. */
export const ROUNDS = 7;

export function named(measured: readonly Measured[], name: string): Measured {
  const found = measured.find((one) => one.name === name);
  if (found === undefined) throw new Error(`No contender is called ${name}`);
  return found;
}
