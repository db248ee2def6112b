/** The answers as a page: docs/benchmarks.md. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import type { Answer, Question } from './question.ts';
import type { Measured } from './rounds.ts';

export function pageOf(answers: readonly (readonly [Question, Answer])[], directory: string): string {
  return [
    '# Benchmarks',
    '',
    'Written by `npm run bench`: every question with its peers in the same run, one warm-up each, then rounds in turns; the',
    'ratios are of medians. `NODE_EXTRA_CA_CERTS` is taken out of the environment of all contenders, as it alone costs each',
    'Node process tens of milliseconds.',
    '',
    ...machine(directory).map((line) => `- ${line}`),
    '',
    ...answers.flatMap(([question, answer]) => sectionOf(question, answer)),
  ].join('\n');
}

export function sectionOf(question: Question, { measured, verdicts }: Answer): string[] {
  const hasMemory = measured.some(({ peakBytes }) => peakBytes !== undefined);
  const slowest = Math.max(...measured.map(({ medianMs }) => medianMs));
  return [
    `## ${question.title}`,
    '',
    question.setting,
    '',
    `| | median | fastest | slowest |${hasMemory ? ' peak memory |' : ''} slowest median ÷ this |`,
    `|---|---:|---:|---:|${hasMemory ? '---:|' : ''}---:|`,
    ...measured.map((one) => row(one, slowest, hasMemory)),
    '',
    ...verdicts.map(({ text, met }) => `- ${met ? 'Met' : '**Missed**'}: ${text}.`),
    '',
  ];
}

function row(one: Measured, slowest: number, hasMemory: boolean): string {
  const memory = hasMemory ? ` ${one.peakBytes === undefined ? '' : `${(one.peakBytes / 1e6).toFixed(0)} MB`} |` : '';
  return `| ${one.name} | ${time(one.medianMs)} | ${time(one.fastestMs)} | ${time(one.slowestMs)} |${memory} ${(slowest / one.medianMs).toFixed(1)} |`;
}

function time(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

function machine(directory: string): string[] {
  const said = (program: string, ...words: string[]): string => execFileSync(program, words, { encoding: 'utf8' }).trim();
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
  const processors = cpus();
  return [
    `${new Date().toISOString().slice(0, 10)}, plimsoll ${version}, Node ${process.version}, ${said('qemu-img', '--version').split('\n')[0] ?? ''}`,
    `${processors.length} × ${processors[0]?.model.trim() ?? 'unknown processor'}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, ${said('findmnt', '-n', '-o', 'FSTYPE', '-T', directory)}`,
    `load average over the last 15 minutes ${(loadavg()[2] ?? 0).toFixed(1)}: figures of a busy machine are worth little`,
  ];
}
