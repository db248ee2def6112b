/** `plimsoll config`: validates the configuration and prints the effective one, or prints its JSON Schema. */
import { Argument } from 'commander';
import { escapeForTerminal, PlimsollError, jsonText } from '#base';
import { EXIT_CODES } from '#wire';
import { addOutputOptions, type OutputFlags } from '../output-options.ts';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';

export function configCommand(session: Session): VerbCommand {
  const command = new VerbCommand('config', {
    summary: 'check the configuration of the daemon',
    description:
      'check: reads the configuration file and prints the effective configuration, defaults included, or every error with its line. ' +
      'schema: prints the JSON Schema of the file, for editors. docs/config.md explains the keys.',
    figures: [],
    examples: [
      { does: 'before a restart', line: 'plimsoll config check /etc/plimsoll/plimsoll.toml' },
      { does: 'for an editor', line: 'plimsoll config schema > plimsoll.schema.json' },
    ],
    exits: ['notFound', 'overBudget'],
    exitMeanings: { ok: 'the configuration is valid', usage: 'the configuration or the command line is invalid' },
  });
  command
    .addArgument(new Argument('<what>', 'the action').choices(['check', 'schema']))
    .addArgument(new Argument('[path]', 'the file (default: /etc/plimsoll/plimsoll.toml)'));
  return addOutputOptions(command).action((what: string, path: string | undefined, flags: OutputFlags) =>
    what === 'schema' ? printSchema(session) : runCheck(path, flags, session),
  );
}

async function printSchema(session: Session): Promise<void> {
  const { configSchema } = await import('../config/schema.ts');
  return session.print(`${jsonText(configSchema(), 2)}\n`);
}

async function runCheck(given: string | undefined, flags: OutputFlags, session: Session): Promise<void> {
  const { parseConfig, problemText, readConfigText } = await import('../config/read.ts');
  const { planServe, SYSTEM_CONFIG } = await import('../serve/plan.ts');
  const path = given ?? SYSTEM_CONFIG;
  const { problems } = await parseConfig(await readConfigText(path));
  if (problems.length > 0) {
    session.exitCode = EXIT_CODES.usage;
    if (flags.output === 'json') return session.print(`${jsonText({ path, problems })}\n`);
    return session.printLines(problems.map((one) => `${escapeForTerminal(path)}: ${escapeForTerminal(problemText(one))}`));
  }
  const plan = await planServe([], { config: path }, process.env);
  await checkPlaces(plan.listen, plan.tokenFile);
  if (flags.output === 'json') return session.print(`${jsonText({ path, problems, effective: plan })}\n`);
  const { planLines } = await import('../render/plan.ts');
  return session.printLines(planLines(plan));
}

/** Checks that need more than the file. Throws: usage, LISTEN_SYNTAX, LISTEN_NEEDS_TOKEN; refused, TOKEN_FILE_MODE. */
async function checkPlaces(listen: string | null, tokenFile: string | undefined): Promise<void> {
  const { isLoopback, parseListen, readToken } = await import('#server');
  const { AUTO_LISTEN } = await import('../serve/plan.ts');
  if (tokenFile !== undefined) await readToken(tokenFile);
  if (listen === null || listen === AUTO_LISTEN) return;
  if (tokenFile !== undefined || isLoopback(parseListen(listen, 'serve.listen').host)) return;
  throw new PlimsollError('usage', 'LISTEN_NEEDS_TOKEN', {
    doing: `listen on ${listen}`,
    found: 'no token_file',
    expected: 'token_file (required: the address is reachable from other hosts)',
  });
}
