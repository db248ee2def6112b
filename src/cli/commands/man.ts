/** `plimsoll man`: the manual page. */
import { describeVerb } from '../describe.ts';
import { manPage } from '../render/man-page.ts';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';
import { VERSION } from '../version.ts';

export function manCommand(session: Session): VerbCommand {
  const command = new VerbCommand('man', {
    summary: 'print the manual page',
    description: 'The page is roff source, for man or for a file in a directory of MANPATH.',
    figures: [],
    examples: [{ does: 'read the manual page', line: 'plimsoll man | man -l -' }],
    exits: [],
  });
  return command.action(async () => {
    const { loadVerbs, PURPOSE, VERBS } = await import('../program.ts');
    const verbs = await loadVerbs(Object.keys(VERBS), session);
    await session.print(manPage({ purpose: PURPOSE, version: VERSION, verbs: verbs.map(describeVerb) }));
  });
}
