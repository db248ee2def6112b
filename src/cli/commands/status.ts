/** `plimsoll status`: what the daemon knows of its stores. */
import { jsonText } from '#base';
import { DaemonClient, socketPath } from '#client';
import { addOutputOptions, type OutputFlags } from '../output-options.ts';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';

interface StatusFlags extends OutputFlags {
  readonly socket?: string;
}

export function statusCommand(session: Session): VerbCommand {
  const command = new VerbCommand('status', {
    summary: 'how the watched stores are',
    description:
      'Asks the daemon for its stores: how near each is to trouble, what is used, promised and held, and when it could be full. What is ' +
      "remaining, or shortfall, is the result of the sum by the store's policy.",
    figures: ['allocation', 'residual'],
    examples: [
      { does: 'all stores', line: 'plimsoll status' },
      { does: 'those in trouble', line: 'plimsoll status --json | jq \'.stores[] | select(.level != "ok") | .mount\'' },
    ],
    exits: ['couldNotTell', 'notFound'],
    exitMeanings: { ok: 'the daemon has answered', couldNotTell: 'the daemon does not answer', notFound: 'no daemon' },
  });
  command.option('--socket <path>', "the daemon's socket");
  return addOutputOptions(command).action(async (flags: StatusFlags) => {
    const report = await new DaemonClient(socketPath(flags.socket)).status();
    if (flags.output === 'json') return session.print(`${jsonText(report)}\n`);
    const { statusLines } = await import('../render/status.ts');
    return session.printLines(statusLines(report, session.theme));
  });
}
