/** `plimsoll demo`: creates a small store, scans it and removes it. */
import { Argument } from 'commander';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';

export function demoCommand(session: Session): VerbCommand {
  const command = new VerbCommand('demo', {
    summary: 'create a demonstration store and scan it',
    description:
      'Creates images of all kinds in a new directory, shows the figures of each, and removes them again. ' +
      'It allocates a few gigabytes without writing them, and scales down where less space is available.',
    figures: [],
    examples: [
      { does: 'run the demonstration', line: 'plimsoll demo' },
      { does: 'keep the store, to try other commands', line: 'plimsoll demo --keep /srv/vm' },
    ],
    exits: ['notFound', 'conflict'],
  });
  command
    .addArgument(new Argument('[directory]', 'parent directory of the store (default: the directory for temporary files)'))
    .option('--keep', 'do not remove the store');
  return command.action(async (directory: string | undefined, flags: { keep?: true }) => {
    const { runDemo } = await import('../demo/run-demo.ts');
    await runDemo({ ...(directory === undefined ? {} : { parent: directory }), keep: flags.keep === true }, session);
  });
}
