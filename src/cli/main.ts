#!/usr/bin/env node
/** The command: answers `--version` at once, and loads everything else only when it is needed. */
import { writeSync } from 'node:fs';
import { VERSION } from './version.ts';

const words = process.argv.slice(2);
if (words.length !== 1 || (words[0] !== '--version' && words[0] !== '-V') || !printVersion()) {
  const { run } = await import('./run.ts');
  process.exitCode = await run(words);
}

/** Whether it could be written; if not, the session of a command reports the error. */
function printVersion(): boolean {
  try {
    writeSync(1, `plimsoll ${VERSION}\n`);
    return true;
  } catch {
    return false;
  }
}
