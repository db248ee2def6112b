/** Runs one command line to its exit code: handles signals, a closed pipe and every error. */
import module from 'node:module';
import { reportFailure } from './failure.ts';
import { UNKNOWN_EXIT } from './nagios.ts';
import { openSession } from './session.ts';

/** The exit code of `words`, the command line after the program's name. */
export async function run(words: readonly string[]): Promise<number> {
  cacheCompiledCode();
  const session = openSession();
  try {
    const { programFor } = await import('./program.ts');
    const program = await programFor(words, session);
    await program.parseAsync(words, { from: 'user' });
    return session.exitCode;
  } catch (thrown) {
    const code = reportFailure(thrown, session);
    // A plugin of Nagios has four exit codes, and this is the one for trouble of its own.
    return words[0] === 'check' && code !== 0 ? UNKNOWN_EXIT : code;
  }
}

/** Newer Nodes keep compiled code between runs; Node 20 has no such thing. */
function cacheCompiledCode(): void {
  (module as { enableCompileCache?: () => unknown }).enableCompileCache?.();
}
