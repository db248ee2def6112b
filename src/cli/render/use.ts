/** Renders the users of an image: the verdict, the advice, then each user. */
import { escapeForTerminal, quoteForHumans } from '#base';
import type { ForeignLockReport, HeldLock, LockReport, LoopUser, ProcessUser, UseReport, UseVerdict } from '#wire';
import { findingLines } from './findings.ts';
import { padEnd, wrapAfter } from './text.ts';
import type { Style, Theme } from './theme.ts';

const LABEL_COLUMN = 16;
const MAX_COMMAND_CHARACTERS = 160;

const VERDICTS: Readonly<Record<UseVerdict, { readonly words: string; readonly style: Style }>> = {
  free: { words: 'no process', style: 'good' },
  reader: { words: 'READ: open in a process, no writer found', style: 'warning' },
  writer: { words: 'WRITTEN: open for writing in a process', style: 'danger' },
  unknown: { words: 'unknown', style: 'warning' },
};

export function useLines(report: UseReport, theme: Theme): string[] {
  const head = theme.paint('strong', escapeForTerminal(report.path));
  if (report.error !== undefined) {
    return [head, ...labelled('not examined', escapeForTerminal(report.error.message), theme).map((line) => theme.paint('danger', line))];
  }
  const { words, style } = VERDICTS[report.verdict];
  return [
    head,
    ...labelled('used by', words, theme).map((line) => line.replace(words, () => theme.paint(style, words))),
    ...labelled('advice', report.advice, theme),
    ...(report.processes ?? []).flatMap((one) => processLines(one, theme)),
    ...(report.loopDevices ?? []).flatMap((one) => labelled('loop device', loopText(one), theme)),
    ...(report.locks === null ? [] : labelled('locks', lockText(report.locks), theme)),
    ...findingLines(report.findings, theme),
  ];
}

const ACCESS_WORDS = { read: 'reads', write: 'writes', 'read-write': 'reads and writes' } as const;

function processLines(one: ProcessUser, theme: Theme): string[] {
  const program = quoteForHumans(one.program ?? one.name);
  const facts = [`pid ${one.pid}`, ...(one.uid === null ? [] : [`uid ${one.uid}`])];
  const does = `${ACCESS_WORDS[one.access]}${one.lockedBytes.length > 0 ? '' : ', without a QEMU lock'}`;
  if (one.machine === null) {
    const command = one.commandLine.length === 0 ? '' : `: ${quoteForHumans(one.commandLine.join(' '), MAX_COMMAND_CHARACTERS)}`;
    return labelled('process', `${program} (${facts.join(', ')}) ${does}${command}`, theme);
  }
  const name = one.machine.name === null ? 'unnamed' : quoteForHumans(one.machine.name);
  const uuid = one.machine.uuid === null ? [] : [`uuid ${quoteForHumans(one.machine.uuid)}`];
  return labelled('VM', `${name} (${[program, ...facts, ...uuid].join(', ')}) ${does}`, theme);
}

function loopText({ device, readOnly, mountPoints, usedBy }: LoopUser): string {
  const mounted = mountPoints.length === 0 ? [] : [`mounted on ${mountPoints.map(escapeForTerminal).join(', ')}`];
  const used = usedBy.length === 0 ? [] : [`used by ${usedBy.map(escapeForTerminal).join(', ')}`];
  return [escapeForTerminal(device), readOnly ? 'read-only' : 'read-write', ...mounted, ...used].join(', ');
}

function lockText(locks: LockReport): string {
  const told = [
    ...(locks.held.length === 0 ? [] : [permissionsText(locks.held)]),
    ...locks.others.map(foreignText),
    ...locks.possible.map(({ device, start, end }) => `possibly a lock on ${range(start, end)}, as device ${device}`),
  ];
  return `${told.length === 0 ? 'none' : told.join('; ')} (${sourceText(locks)})`;
}

/** `uses consistent-read, write; shares no write (bytes 100, 101, 201)`. */
function permissionsText(held: readonly HeldLock[]): string {
  const named = (role: HeldLock['role']): string =>
    held
      .filter((one) => one.role === role)
      .map((one) => one.permission)
      .join(', ');
  const parts = [
    ...(named('uses') === '' ? [] : [`uses ${named('uses')}`]),
    ...(named('unshared') === '' ? [] : [`does not share ${named('unshared')}`]),
  ];
  return `QEMU's: ${parts.join('; ')} [bytes ${held.map((one) => one.byte).join(' ')}]`;
}

function foreignText({ kind, exclusive, pid, start, end }: ForeignLockReport): string {
  const owner = pid === null ? '' : ` of pid ${pid}`;
  return `${exclusive ? 'exclusive' : 'shared'} ${escapeForTerminal(kind)} lock on ${range(start, end)}${owner}`;
}

function range(start: number, end: number | null): string {
  if (start === 0 && end === null) return 'the whole file';
  if (start === end) return `byte ${start}`;
  return `bytes ${start} to ${end ?? 'the end'}`;
}

function sourceText({ kernel, table }: LockReport): string {
  const sources = [...(kernel === 'queried' ? ['the kernel'] : []), ...(table === 'read' ? ['/proc/locks'] : [])];
  return sources.length === 0 ? 'lock query failed' : `from ${sources.join(' and ')}`;
}

function labelled(label: string, text: string, theme: Theme): string[] {
  return wrapAfter(`  ${padEnd(label, LABEL_COLUMN)}`, text, theme.width);
}
