#!/usr/bin/env node
/** The command: answers `--version` at once, and loads everything else only when it is asked for. */
import { writeSync } from 'node:fs';
import { VERSION } from './version.ts';

const words = process.argv.slice(2);
if (words.length === 1 && (words[0] === '--version' || words[0] === '-V')) writeSync(1, `plimsoll ${VERSION}\n`);
else {
  const { run } = await import('./run.ts');
  process.exitCode = await run(words);
}
