/** `plimsoll check`: the state of the stores as a Nagios plugin: one line and an exit code. */
import { PlimsollError, escapeForTerminal, formatBytes } from '#base';
import type { Level, StatusReport, StoreView } from '#wire';
import { DaemonClient, socketPath } from '#client';
import { NAGIOS_EXITS } from '../nagios.ts';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';

/** Monitoring systems usually wait ten seconds for a plugin. */
const ANSWER_MS = 8000;

export function checkCommand(session: Session): VerbCommand {
  const command = new VerbCommand('check', {
    summary: 'report the worst store state (Nagios plugin)',
    description:
      'Prints one line with performance data and exits with the codes that Nagios and compatible systems expect of a plugin. ' +
      'This is the only command with its own exit codes. A missing or unresponsive daemon and a usage error are UNKNOWN.',
    figures: ['residual'],
    examples: [{ does: 'as called by a monitoring system', line: 'plimsoll check --socket /run/plimsoll/plimsoll.sock' }],
    exits: [],
    ownExits: [
      [0, 'OK: every store is ok'],
      [1, 'WARNING: a store has reached its warning level, or the daemon reports a critical finding about itself'],
      [2, 'CRITICAL: a store has reached its critical level or has disappeared'],
      [3, 'UNKNOWN: required information is missing'],
    ],
  });
  command.option('--socket <path>', "the daemon's socket");
  return command.action(async (flags: { socket?: string }) => {
    const { line, level } = await checked(flags.socket);
    session.exitCode = NAGIOS_EXITS[level];
    return session.print(`${line}\n`);
  });
}

async function checked(socket: string | undefined): Promise<{ readonly line: string; readonly level: Level }> {
  try {
    const report = await new DaemonClient(socketPath(socket), ANSWER_MS).status();
    return { line: checkLine(report), level: worstOf(report) };
  } catch (error) {
    if (!(error instanceof PlimsollError)) throw error;
    return { line: `PLIMSOLL UNKNOWN - ${harmless(error.message)}`, level: 'unknown' };
  }
}

/** From best to worst; a store that is certainly critical counts before one whose state is unknown. */
const WORST_FIRST: readonly Level[] = ['critical', 'warning', 'unknown', 'ok'];

function levelOf({ level, presence }: StoreView): Level {
  return presence === 'vanished' ? 'critical' : level;
}

/** Without stores the state is unknown. A critical finding about no store, such as lost reservations, is a warning. */
export function worstOf({ stores, findings }: StatusReport): Level {
  const levels: readonly Level[] = [...stores.map(levelOf), ...criticalOf(findings).map(() => 'warning' as const)];
  return stores.length === 0 ? 'unknown' : (WORST_FIRST.find((level) => levels.includes(level)) ?? 'unknown');
}

function criticalOf(findings: StatusReport['findings']): readonly string[] {
  return findings.filter(({ level }) => level === 'critical').map(({ message }) => message);
}

/** One line: the worst state, then each store, then `|` and the performance data. */
export function checkLine(report: StatusReport): string {
  const { stores, findings } = report;
  const worst = worstOf(report);
  const texts = stores.toSorted((a, b) => WORST_FIRST.indexOf(levelOf(a)) - WORST_FIRST.indexOf(levelOf(b))).map(storeText);
  const text = [
    ...(texts.length === 0 ? [findings.find(({ level }) => level === 'info')?.message ?? 'no stores'] : texts),
    ...criticalOf(findings),
  ].join('; ');
  return `PLIMSOLL ${worst.toUpperCase()} - ${harmless(text)}${stores.length === 0 ? '' : ` | ${stores.flatMap(figures).join(' ')}`}`;
}

function storeText(store: StoreView): string {
  const [alert] = store.alerts;
  const remaining =
    store.sum.remaining === null
      ? 'headroom unknown'
      : `${formatBytes(store.sum.remaining)} remaining under the policy ${store.sum.policy}`;
  const state = store.presence === 'vanished' ? 'vanished' : store.level;
  const unknown = store.sum.unknown ?? store.forecast.toFloor.reason;
  if (state === 'unknown' && alert === undefined && unknown !== null) return `${store.mount} unknown: ${remaining}. ${unknown}`;
  return `${store.mount} ${state}: ${alert?.message ?? remaining}`;
}

/** Nagios: 'label'=value[unit];warning;critical;min;max. An unknown value is U, never 0. */
function figures(store: StoreView): string[] {
  const name = store.mount.replaceAll(/['=|\s]/g, '_');
  const value = (bytes: number | null): string => (bytes === null ? 'U' : `${bytes}B`);
  const figure = (label: string, bytes: number | null, limits = ''): string => harmless(`'${name} ${label}'=${value(bytes)}${limits}`);
  return [
    figure('available', store.available, `;;;0;${store.size}`),
    figure('allocation', store.allocation, `;;;0;${store.size}`),
    figure('residual', store.residual),
    figure('reserved', store.reserved),
    figure('remaining', store.sum.remaining),
  ];
}

/** In this line a bar starts the performance data, and a line break would end it. */
function harmless(text: string): string {
  return escapeForTerminal(text).replaceAll('|', '/');
}
