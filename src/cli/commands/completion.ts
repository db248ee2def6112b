/** `plimsoll completion`: the completion script of a shell. */
import { Argument } from 'commander';
import { describeVerb } from '../describe.ts';
import { completionScript, SHELLS, type Shell } from '../render/completion.ts';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';

export function completionCommand(session: Session): VerbCommand {
  const command = new VerbCommand('completion', {
    summary: 'print the completion script of a shell',
    description: 'The script completes commands, options and their values; load it from the start-up file of the shell.',
    figures: [],
    examples: [
      { does: 'bash, in ~/.bashrc', line: 'source <(plimsoll completion bash)' },
      { does: 'zsh, in ~/.zshrc after compinit', line: 'source <(plimsoll completion zsh)' },
      { does: 'fish', line: 'plimsoll completion fish > ~/.config/fish/completions/plimsoll.fish' },
    ],
    exits: [],
  });
  command.addArgument(new Argument('<shell>', 'the shell').choices(SHELLS));
  return command.action(async (shell: Shell) => {
    const { loadVerbs, VERBS } = await import('../program.ts');
    const verbs = await loadVerbs(Object.keys(VERBS), session);
    await session.print(completionScript(shell, verbs.map(describeVerb)));
  });
}
