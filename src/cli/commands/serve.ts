/** `plimsoll serve`: the daemon that watches stores, and answers over HTTP. */
import { Argument, Option } from 'commander';
import { parseDuration } from '#base';
import { LOG_LEVELS } from '../config/log-levels.ts';
import type { ServeFlags } from '../serve/plan.ts';
import { addAssumeOption } from '../output-options.ts';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';

export function serveCommand(session: Session): VerbCommand {
  const command = new VerbCommand('serve', {
    summary: 'watch stores, and answer over HTTP',
    description:
      'Watches the images below directories: scans them once, then looks at what changes; keeps a history and reservations; and serves ' +
      'the dashboard, the API and metrics on 127.0.0.1:9464 and on a Unix socket. Without directories it serves the stores of ' +
      '/etc/plimsoll/plimsoll.toml. Any other address than of this machine needs a token in the configuration. SIGTERM and SIGINT end it.',
    figures: ['residual', 'headroom'],
    examples: [
      { does: 'look around: a demonstration store', line: 'plimsoll serve --demo' },
      { does: 'your images', line: 'plimsoll serve /var/lib/libvirt/images /srv/vm' },
      { does: 'as a service', line: 'plimsoll serve --config /etc/plimsoll/plimsoll.toml' },
    ],
    exits: ['notFound', 'refused', 'unsupported', 'busy', 'conflict'],
    exitMeanings: {
      ok: 'ended by a signal, as asked',
      usage: 'the command line or the configuration is wrong',
      conflict: 'another daemon has the socket',
      refused: 'a token file that others may read',
    },
  });
  return addAssumeOption(command)
    .addArgument(new Argument('[directory...]', 'directories to watch, by the rules of all stores'))
    .option('--config <path>', 'the configuration file')
    .option('--listen <address:port>', 'where HTTP is answered; 127.0.0.1:9464 by default; auto: there, or at a free port; off for nowhere')
    .option('--socket <path>', 'the Unix socket; off for none')
    .option('--state <directory>', 'where reservations and history are kept')
    .option('--interval <duration>', 'how often changes are looked for, such as 30s', (text) => parseDuration(text, '--interval'))
    .addOption(new Option('--log-level <level>', 'the least serious of what is logged, to standard error').choices(LOG_LEVELS))
    .option('--demo', 'make a demonstration store and watch that, unless directories are named; it is removed at the end')
    .action(async (directories: string[], flags: ServeFlags) => {
      const { runServe } = await import('../serve/run-serve.ts');
      await runServe(directories, flags, session);
    });
}
