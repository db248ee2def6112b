/** `plimsoll release`: lets go of space that was held. */
import { Argument } from 'commander';
import { escapeForTerminal, formatBytes, jsonText } from '#base';
import { DaemonClient, socketPath } from '#client';
import { addOutputOptions, type OutputFlags } from '../output-options.ts';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';

interface ReleaseFlags extends OutputFlags {
  readonly socket?: string;
}

export function releaseCommand(session: Session): VerbCommand {
  const command = new VerbCommand('release', {
    summary: 'let go of space that was reserved',
    description:
      'Ends a reservation that `plimsoll admit --reserve` made. One that has expired, or whose image has appeared, needs no release.',
    figures: [],
    examples: [{ does: 'the machine was not made after all', line: 'plimsoll release web7' }],
    exits: ['couldNotTell', 'notFound'],
    exitMeanings: { couldNotTell: 'the daemon does not answer', notFound: 'no daemon, or nothing is held by this key' },
  });
  command.addArgument(new Argument('<key>', 'the name under which it was reserved')).option('--socket <path>', "the daemon's socket");
  return addOutputOptions(command).action(async (key: string, flags: ReleaseFlags) => {
    const reservation = await new DaemonClient(socketPath(flags.socket)).release(key);
    if (flags.output === 'json') return session.print(`${jsonText(reservation)}\n`);
    return session.print(
      `Released: ${formatBytes(reservation.bytes)} on ${escapeForTerminal(reservation.store)}, held by ${escapeForTerminal(key)}\n`,
    );
  });
}
