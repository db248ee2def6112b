/** The table of commands. A single command is loaded alone; all are loaded only to describe them. */
import { Command, type Help } from 'commander';
import { escapeForTerminal } from '#base';
import type { Session } from './session.ts';
import { exitCodeLines } from './exit-codes.ts';
import { wrapAscii } from './render/wrap.ts';
import { VERSION } from './version.ts';
import type { VerbCommand } from './verb-command.ts';

type Verb = (session: Session) => VerbCommand;

/** Every command, in the order in which help and manual list them. */
export const VERBS: Readonly<Record<string, () => Promise<Verb>>> = {
  scan: async () => (await import('./commands/scan.ts')).scanCommand,
  info: async () => (await import('./commands/info.ts')).infoCommand,
  vet: async () => (await import('./commands/vet.ts')).vetCommand,
  who: async () => (await import('./commands/who.ts')).whoCommand,
  measure: async () => (await import('./commands/measure.ts')).measureCommand,
  create: async () => (await import('./commands/create.ts')).createCommand,
  serve: async () => (await import('./commands/serve.ts')).serveCommand,
  admit: async () => (await import('./commands/admit.ts')).admitCommand,
  release: async () => (await import('./commands/release.ts')).releaseCommand,
  status: async () => (await import('./commands/status.ts')).statusCommand,
  check: async () => (await import('./commands/check.ts')).checkCommand,
  config: async () => (await import('./commands/config.ts')).configCommand,
  demo: async () => (await import('./commands/demo.ts')).demoCommand,
  completion: async () => (await import('./commands/completion.ts')).completionCommand,
  man: async () => (await import('./commands/man.ts')).manCommand,
};

export const PURPOSE = 'the load line of a virtualization store';

/** The program that can parse `words`: with the one command that they name, or with all. */
export async function programFor(words: readonly string[], session: Session): Promise<Command> {
  const named = words[0] !== undefined && Object.hasOwn(VERBS, words[0]) ? [words[0]] : Object.keys(VERBS);
  const program = assemble(await loadVerbs(named, session), session);
  refuseUnknownTopic(words, program);
  return program;
}

/** Throws: CommanderError, where commander would print the help of everything without a reason. */
function refuseUnknownTopic([first, topic]: readonly string[], program: Command): void {
  if (first !== 'help' || topic === undefined || topic.startsWith('-') || topic === 'help' || Object.hasOwn(VERBS, topic)) return;
  program.error(`error: unknown command '${topic}'`);
}

/** The existing commands among `names`. */
export async function loadVerbs(names: readonly string[], session: Session): Promise<VerbCommand[]> {
  const loaders = names.flatMap((name) => VERBS[name] ?? []);
  const verbs = await Promise.all(loaders.map((load) => load()));
  return verbs.map((verb) => verb(session));
}

function assemble(verbs: readonly VerbCommand[], session: Session): Command {
  const program = new Command('plimsoll')
    .description(`plimsoll: ${PURPOSE}.\nReports how much storage disk images use now and can ever use, and whether it fits.`)
    .version(`plimsoll ${VERSION}`, '-V, --version')
    .usage('COMMAND [OPTION]... [ARGUMENT]...')
    .helpCommand('help [COMMAND]', 'help for one command')
    .addHelpText('after', () => `\n${exitCodeLines(session.theme.width).join('\n')}`);
  for (const verb of verbs) program.addCommand(verb);
  for (const command of [program, ...verbs]) settle(command, session);
  return program;
}

/** Below this width the descriptions of options do not fit beside their names. */
const NARROW_WIDTH = 70;
const MIN_TEXT_WIDTH = 20;
const TERM_INDENT = '  ';
const TEXT_INDENT = '      ';

/** An entry of a list in help: its text below its name. */
function narrowItem(term: string, _termWidth: number, text: string, help: Help): string {
  const lines = text === '' ? [] : wrapAscii(text, (help.helpWidth ?? NARROW_WIDTH) - TEXT_INDENT.length);
  return [TERM_INDENT + term, ...lines.map((line) => TEXT_INDENT + line)].join('\n');
}

/** Errors are thrown, instead of ending the process, and printed like all others of this program. */
function settle(command: Command, session: Session): void {
  command.exitOverride();
  const width = session.theme.width;
  command.configureHelp({
    helpWidth: width,
    showGlobalOptions: false,
    minWidthToWrap: MIN_TEXT_WIDTH,
    ...(width < NARROW_WIDTH ? { formatItem: narrowItem } : {}),
  });
  command.configureOutput({
    outputError: (text) => {
      const [first = '', ...others] = text.trimEnd().split('\n');
      session.warn(`plimsoll: ${escapeForTerminal(first.replace(/^error: /, ''))}`);
      for (const line of others) if (line !== '') session.warn(escapeForTerminal(line));
      session.warn(`Try: plimsoll ${command.parent === null ? '' : `${command.name()} `}--help`);
    },
  });
}
