/** `plimsoll who`: is an image in use, by whom, and what may be done with it meanwhile. */
import { Argument } from 'commander';
import { PlimsollError, jsonText } from '#base';
import { EXIT_CODE_OF_KIND, EXIT_CODES, type UseReport, type UseVerdict } from '#wire';
import { imageNames } from '../image-names.ts';
import { addOutputOptions, type OutputFlags } from '../output-options.ts';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';

interface WhoFlags extends OutputFlags {
  readonly locksOnly?: true;
  readonly null?: true;
}

export function whoCommand(session: Session): VerbCommand {
  const command = new VerbCommand('who', {
    summary: 'who uses an image, and may it be read or written?',
    description:
      "Asks for QEMU's own locks on the image, for the processes that have it open, and for loop devices on it. Nothing of the " +
      'image is read, and nothing is locked. Only if everybody could be looked at is an image called free: best ask as root. ' +
      'The answer is of this moment; who opens the image later is not held up.',
    figures: [],
    examples: [
      { does: 'which machine has it?', line: 'plimsoll who web.qcow2' },
      { does: 'may it be copied now?', line: `plimsoll who --json web.qcow2 | jq -e '.images[0].reading == "safe"'` },
      { does: 'every image that is being written', line: `plimsoll who --json *.qcow2 | jq '.images[] | select(.reading == "torn")'` },
    ],
    exits: ['ok', 'usage', 'couldNotTell', 'notFound', 'refused', 'busy', 'io', 'inUse', 'beingWritten', 'bug', 'interrupted'],
    exitMeanings: {
      ok: 'nobody uses any of the images',
      couldNotTell: 'nobody was seen, and not everybody could be looked at',
      inUse: 'an image is in use, and nobody was seen to write',
      beingWritten: 'an image is open for writing',
    },
  });
  command
    .addArgument(new Argument('<image...>', 'images to ask about; - reads their names from standard input'))
    .option('--locks-only', "ask for QEMU's locks alone, which every user may; who takes none is not seen")
    .option('-0, --null', 'names on standard input end with NUL');
  return addOutputOptions(command).action((images: string[], flags: WhoFlags) => runWho(images, flags, session));
}

async function runWho(operands: readonly string[], flags: WhoFlags, session: Session): Promise<void> {
  const [{ examineUse }, { ProcessFiles }] = await Promise.all([import('#sandbox'), import('#host')]);
  const writer = flags.output === 'json' ? jsonWriter(session) : await humanWriter(session);
  const options = { locksOnly: flags.locksOnly === true, signal: session.signal, processes: new ProcessFiles() };
  let count = 0;
  // Somebody may be typing the names: an interrupt must not wait for the next one.
  session.signal.addEventListener('abort', () => process.stdin.destroy());
  for await (const name of imageNames({ operands, nulSeparated: flags.null === true, input: process.stdin })) {
    session.signal.throwIfAborted();
    const report = await examineUse(name, options);
    session.exitCode = Math.max(session.exitCode, exitCodeOf(report));
    await writer.image(report, count);
    count += 1;
  }
  session.signal.throwIfAborted();
  if (count === 0) {
    throw new PlimsollError('usage', 'NO_IMAGES', { doing: 'read images', found: 'no name on standard input', expected: 'at least one' });
  }
  await writer.end();
}

const EXIT_CODE_OF_VERDICT: Readonly<Record<UseVerdict, number>> = {
  free: EXIT_CODES.ok,
  unknown: EXIT_CODES.couldNotTell,
  reader: EXIT_CODES.inUse,
  writer: EXIT_CODES.beingWritten,
};

function exitCodeOf({ error, verdict }: UseReport): number {
  return error === undefined ? EXIT_CODE_OF_VERDICT[verdict] : EXIT_CODE_OF_KIND[error.kind];
}

interface UseWriter {
  image(report: UseReport, index: number): Promise<void>;
  end(): Promise<void>;
}

/** One document, written image by image: a list of any length needs no memory. */
function jsonWriter(session: Session): UseWriter {
  return {
    image: (report, index) => session.print(`${index === 0 ? '{"schema":"plimsoll.who/1","images":[\n' : ',\n'}${jsonText(report)}`),
    end: () => session.print('\n]}\n'),
  };
}

async function humanWriter(session: Session): Promise<UseWriter> {
  const { useLines } = await import('../render/use.ts');
  return {
    image: (report, index) => session.printLines([...(index === 0 ? [] : ['']), ...useLines(report, session.theme)]),
    end: async () => {},
  };
}
