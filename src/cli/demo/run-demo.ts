/** Runs the demonstration: creates a store, reports it, scans it and removes it, even after an interrupt. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asPlimsollError, escapeForTerminal } from '#base';
import { EXIT_CODES } from '#wire';
import { collectScan, verdictOf } from '../commands/scan.ts';
import { demoLines } from '../render/demo.ts';
import { scanLines } from '../render/store.ts';
import type { Session } from '../session.ts';
import { makeStore } from './make-store.ts';

export interface DemoChoice {
  /** The parent directory of the store. */
  readonly parent?: string;
  readonly keep: boolean;
}

/** The exit code of the demonstration is not the verdict on its store, which is overcommitted on purpose. */
export async function runDemo(choice: DemoChoice, session: Session): Promise<void> {
  const directory = await makeDirectory(choice.parent ?? tmpdir());
  try {
    await show(directory, session);
    session.exitCode = EXIT_CODES.ok;
  } finally {
    if (!choice.keep) await rm(directory, { recursive: true, force: true });
  }
  const shown = escapeForTerminal(directory);
  await session.print(choice.keep ? `Kept: ${shown}\n` : `Removed again: ${shown} (--keep keeps it)\n`);
}

async function makeDirectory(parent: string): Promise<string> {
  try {
    return await mkdtemp(join(parent, 'plimsoll-demo-'));
  } catch (thrown) {
    throw asPlimsollError(thrown, 'create a directory for the demonstration', parent);
  }
}

async function show(directory: string, session: Session): Promise<void> {
  const store = await makeStore(directory, session.signal);
  const report = await collectScan([directory], {}, session);
  await session.printLines(demoLines(store, report, session.theme));
  await session.printLines(['', session.theme.paint('strong', `$ plimsoll scan ${escapeForTerminal(directory)}`), '']);
  await session.printLines(scanLines(report, session.theme, { limit: Number.POSITIVE_INFINITY }));
  await session.printLines(['', `(plimsoll scan would have ended with exit code ${verdictOf(report)}.)`]);
}
