/**
 * Answers the questions of this folder:
 *
 *   npm run bench                    all of them, and writes docs/benchmarks.md
 *   npm run bench -- start-up ...    only these, to the terminal
 *
 * Files are made in the temporary directory (TMPDIR); about 4 GiB. Ends with 1 when a target is missed.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { daemon } from './daemon.ts';
import { fullyMapped } from './fully-mapped.ts';
import { growth } from './growth.ts';
import { history } from './history.ts';
import { monitoring } from './monitor.ts';
import { manyImages } from './many-images.ts';
import { metrics } from './metrics.ts';
import type { Answer, Question } from './question.ts';
import { pageOf, sectionOf } from './report.ts';
import { sequentialRead } from './sequential-read.ts';
import { startUp } from './start-up.ts';
import { vetting } from './vet.ts';
import { vetMany } from './vet-many.ts';

const QUESTIONS: readonly Question[] = [
  startUp,
  fullyMapped,
  manyImages,
  monitoring,
  daemon,
  growth,
  vetting,
  vetMany,
  sequentialRead,
  history,
  metrics,
];

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !QUESTIONS.some((question) => question.name === name));
if (unknown !== undefined) throw new Error(`No such question: ${unknown}; there are ${QUESTIONS.map(({ name }) => name).join(', ')}`);

const scratch = mkdtempSync(join(tmpdir(), 'plimsoll-bench-'));
const answers: (readonly [Question, Answer])[] = [];
try {
  for (const question of QUESTIONS.filter(({ name }) => asked.length === 0 || asked.includes(name))) {
    const directory = join(scratch, question.name);
    mkdirSync(directory);
    const answer = question.answer(directory);
    rmSync(directory, { recursive: true });
    answers.push([question, answer]);
    console.log(sectionOf(question, answer).join('\n'));
  }
  if (asked.length === 0) writeFileSync(new URL('../docs/benchmarks.md', import.meta.url), pageOf(answers, scratch));
} finally {
  rmSync(scratch, { recursive: true });
}
if (answers.some(([, { verdicts }]) => verdicts.some(({ met }) => !met))) process.exitCode = 1;
