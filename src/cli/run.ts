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
    // A Nagios plugin has four exit codes; this one is for its own failures.
    return words[0] === 'check' && code !== 0 ? UNKNOWN_EXIT : code;
  }
}

/** Newer versions of Node cache compiled code between runs; Node 20 does not. */
function cacheCompiledCode(): void {
  (module as { enableCompileCache?: () => unknown }).enableCompileCache?.();
}
