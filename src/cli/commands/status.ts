/** `plimsoll status`: the state of all monitored stores. */
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
    summary: 'show the state of all monitored stores',
    description:
      'Queries the daemon and shows for each store its level, what is used, committed and reserved, and when it could be full. The ' +
      "remaining bytes, or the shortfall, are the result of the calculation under the store's policy.",
    figures: ['allocation', 'residual'],
    examples: [
      { does: 'all stores', line: 'plimsoll status' },
      { does: 'stores that are not ok', line: 'plimsoll status --json | jq \'.stores[] | select(.level != "ok") | .mount\'' },
    ],
    exits: ['undetermined', 'notFound'],
    exitMeanings: { ok: 'the daemon answered', undetermined: 'the daemon does not answer', notFound: 'no daemon' },
  });
  command.option('--socket <path>', "the daemon's socket");
  return addOutputOptions(command).action(async (flags: StatusFlags) => {
    const report = await new DaemonClient(socketPath(flags.socket)).status();
    if (flags.output === 'json') return session.print(`${jsonText(report)}\n`);
    const { statusLines } = await import('../render/status.ts');
    return session.printLines(statusLines(report, session.theme));
  });
}
