/** `plimsoll release`: releases a reservation. */
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
    summary: 'release a reservation',
    description: 'Ends a reservation created by `plimsoll admit --reserve`. An expired or fulfilled reservation needs no release.',
    figures: [],
    examples: [{ does: 'the VM was not created after all', line: 'plimsoll release web7' }],
    exits: ['undetermined', 'notFound'],
    exitMeanings: { undetermined: 'the daemon does not answer', notFound: 'daemon not running, or no reservation with this key' },
  });
  command.addArgument(new Argument('<key>', 'the key of the reservation')).option('--socket <path>', "the daemon's socket");
  return addOutputOptions(command).action(async (key: string, flags: ReleaseFlags) => {
    const reservation = await new DaemonClient(socketPath(flags.socket)).release(key);
    if (flags.output === 'json') return session.print(`${jsonText(reservation)}\n`);
    return session.print(
      `Released: ${formatBytes(reservation.bytes)} on ${escapeForTerminal(reservation.store)}, key ${escapeForTerminal(key)}\n`,
    );
  });
}
