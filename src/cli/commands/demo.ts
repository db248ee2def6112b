/** `plimsoll demo`: a small store to look at, made, scanned and removed. */
import { Argument } from 'commander';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';

export function demoCommand(session: Session): VerbCommand {
  const command = new VerbCommand('demo', {
    summary: 'make a demonstration store and scan it',
    description:
      'Makes images of all kinds in a new directory, shows what each of them is loaded with, and removes them again. ' +
      'It needs nothing but room for a few gigabytes of reserved, unwritten storage, and scales itself down where there is less.',
    figures: [],
    examples: [
      { does: 'look around', line: 'plimsoll demo' },
      { does: 'keep the store, to try the other commands on', line: 'plimsoll demo --keep /srv/vm' },
    ],
    exits: ['notFound', 'conflict'],
  });
  command
    .addArgument(new Argument('[directory]', 'below which directory to make the store; else below that for temporary files'))
    .option('--keep', 'leave the store there');
  return command.action(async (directory: string | undefined, flags: { keep?: true }) => {
    const { runDemo } = await import('../demo/run-demo.ts');
    await runDemo({ ...(directory === undefined ? {} : { parent: directory }), keep: flags.keep === true }, session);
  });
}
