/** `plimsoll who`: reports the users of an image and whether it is safe to read or write. */
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
    summary: 'show which processes use an image, and whether it is safe to read or write',
    description:
      "Queries QEMU's locks on the image, the processes that have it open, and the loop devices on it. The image is neither read nor " +
      'locked. An image is reported free only if every process could be inspected: best run as root. ' +
      'The result is a snapshot: it does not keep other processes from opening the image later.',
    figures: [],
    examples: [
      { does: 'which VM uses it', line: 'plimsoll who web.qcow2' },
      { does: 'whether it can be copied now', line: `plimsoll who --json web.qcow2 | jq -e '.images[0].reading == "safe"'` },
      { does: 'every image open for writing', line: `plimsoll who --json *.qcow2 | jq '.images[] | select(.reading == "torn")'` },
    ],
    exits: ['ok', 'usage', 'undetermined', 'notFound', 'refused', 'busy', 'io', 'inUse', 'beingWritten', 'bug', 'interrupted'],
    exitMeanings: {
      ok: 'none of the images is in use',
      undetermined: 'no user was found, but not every process could be inspected',
      inUse: 'an image is in use, and no writer was found',
      beingWritten: 'an image is open for writing',
    },
  });
  command
    .addArgument(new Argument('<image...>', 'images to examine; - reads their names from standard input'))
    .option('--locks-only', "query only QEMU's locks, without privileges; processes that take no QEMU lock are not detected")
    .option('-0, --null', 'names on standard input are NUL-terminated');
  return addOutputOptions(command).action((images: string[], flags: WhoFlags) => runWho(images, flags, session));
}

async function runWho(operands: readonly string[], flags: WhoFlags, session: Session): Promise<void> {
  const [{ examineUse }, { ProcessFiles }] = await Promise.all([import('#sandbox'), import('#host')]);
  const writer = flags.output === 'json' ? await jsonWriter(session) : await humanWriter(session);
  const options = { locksOnly: flags.locksOnly === true, signal: session.signal, processes: new ProcessFiles() };
  let count = 0;
  // A person may be typing the names: an interrupt must not wait for the next one.
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
    throw new PlimsollError('usage', 'NO_IMAGES', { doing: 'read images', found: 'no names on standard input', expected: 'at least one' });
  }
  await writer.end();
}

const EXIT_CODE_OF_VERDICT: Readonly<Record<UseVerdict, number>> = {
  free: EXIT_CODES.ok,
  unknown: EXIT_CODES.undetermined,
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

/** One document, written image by image: memory does not depend on the number of images. */
async function jsonWriter(session: Session): Promise<UseWriter> {
  const { hostIdentity } = await import('#host');
  const head = `{"schema":"plimsoll.who/1","host":${jsonText(hostIdentity())},"images":[\n`;
  return {
    image: (report, index) => session.print(`${index === 0 ? head : ',\n'}${jsonText(report)}`),
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
