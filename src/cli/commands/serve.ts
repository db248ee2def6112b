/** `plimsoll serve`: the daemon that monitors stores and serves HTTP. */
import { Argument, Option } from 'commander';
import { parseDuration } from '#base';
import { LOG_LEVELS } from '../config/log-levels.ts';
import type { ServeFlags } from '../serve/plan.ts';
import { addAssumeOption } from '../output-options.ts';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';

export function serveCommand(session: Session): VerbCommand {
  const command = new VerbCommand('serve', {
    summary: 'monitor stores and serve the dashboard, the API and metrics',
    description:
      'Monitors the images below the directories: scans them once, then rescans what changes; keeps history and reservations; and serves ' +
      'the dashboard, the API and metrics on 127.0.0.1:9464 and on a Unix socket. Without directories it serves the stores of ' +
      '/etc/plimsoll/plimsoll.toml. A non-loopback address requires a token in the configuration. SIGTERM and SIGINT stop it.',
    figures: ['residual', 'headroom'],
    examples: [
      { does: 'a demonstration store', line: 'plimsoll serve --demo' },
      { does: 'your images', line: 'plimsoll serve /var/lib/libvirt/images /srv/vm' },
      { does: 'as a service', line: 'plimsoll serve --config /etc/plimsoll/plimsoll.toml' },
    ],
    exits: ['notFound', 'refused', 'unsupported', 'busy', 'conflict'],
    exitMeanings: {
      ok: 'stopped by SIGTERM or SIGINT',
      usage: 'the command line or the configuration is wrong',
      conflict: 'another daemon is listening on the socket',
      refused: 'the token file is readable by other users',
    },
  });
  return addAssumeOption(command)
    .addArgument(new Argument('[directory...]', 'directories to monitor, with the default rules'))
    .option('--config <path>', 'the configuration file')
    .option('--listen <address:port>', 'HTTP listen address (default: 127.0.0.1:9464; auto: that port or any free one; off: no HTTP)')
    .option('--socket <path>', 'Unix socket path (off: no socket)')
    .option('--state <directory>', 'directory of reservations and history')
    .option('--interval <duration>', 'rescan interval, such as 30s', (text) => parseDuration(text, '--interval'))
    .addOption(new Option('--log-level <level>', 'minimum level of the log on standard error').choices(LOG_LEVELS))
    .option('--demo', 'create and monitor a demonstration store, removed at the end (ignored if directories are given)')
    .action(async (directories: string[], flags: ServeFlags) => {
      const { runServe } = await import('../serve/run-serve.ts');
      await runServe(directories, flags, session);
    });
}
