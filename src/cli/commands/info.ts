/** `plimsoll info`: the four sizes of images. */
import { Argument, Option } from 'commander';
import { PlimsollError, jsonText } from '#base';
import { DEFINITIONS, EXIT_CODE_OF_KIND, IMAGE_FORMATS, type ImageReport } from '#wire';
import { allowedDirectories } from '../allowed-directories.ts';
import { imageNames } from '../image-names.ts';
import { addOutputOptions, collect, type OutputFlags } from '../output-options.ts';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';

/** Formats that `-f` accepts. */
const FORMATS = IMAGE_FORMATS;

interface InfoFlags extends OutputFlags {
  readonly format?: (typeof FORMATS)[number];
  readonly explain?: true;
  readonly allowDir?: readonly string[];
  readonly null?: true;
}

export function infoCommand(session: Session): VerbCommand {
  const command = new VerbCommand('info', {
    summary: 'show the four sizes of disk images',
    description:
      'Reports the current sizes of images and the maximum size each can reach. Images are never written to or locked. ' +
      'An image in use by a running VM can be read too; its figures lag until QEMU flushes its metadata.',
    figures: ['capacity', 'length', 'allocation', 'commitment', 'expected', 'residual'],
    examples: [
      { does: 'one image', line: 'plimsoll info web.qcow2' },
      { does: 'show the components of the commitment', line: 'plimsoll info --explain web.qcow2' },
      { does: 'every image in a directory tree, as JSON', line: "find /srv -name '*.qcow2' -print0 | plimsoll info -0 --json -" },
    ],
    exits: ['notFound', 'corrupt', 'unsupported', 'refused', 'overBudget', 'busy'],
  });
  command
    .addArgument(new Argument('<image...>', 'images to examine; - reads their names from standard input'))
    .addOption(new Option('-f, --format <format>', 'the format, instead of detecting it').choices(FORMATS))
    .option('--explain', 'show the components of the commitment')
    .option('--allow-dir <directory>', 'also follow references into this directory (may be repeated)', collect)
    .option('-0, --null', 'names on standard input are NUL-terminated')
    .option('-U, --force-share', 'accepted for compatibility with qemu-img: nothing is ever locked')
    .option('--backing-chain', 'accepted for compatibility with qemu-img: the chain is always shown');
  return addOutputOptions(command).action((images: string[], flags: InfoFlags) => runInfo(images, flags, session));
}

async function runInfo(operands: readonly string[], flags: InfoFlags, session: Session): Promise<void> {
  const [{ examineImage }, { newHostCache }] = await Promise.all([import('#sandbox'), import('#host')]);
  const writer = flags.output === 'json' ? await jsonWriter(session) : await humanWriter(session, flags.explain === true);
  const options = {
    ...(flags.format === undefined ? {} : { format: flags.format }),
    allowDirectories: await allowedDirectories(flags.allowDir),
    signal: session.signal,
    cache: newHostCache(),
  };
  // A person may be typing the names: an interrupt must not wait for the next one.
  session.signal.addEventListener('abort', () => process.stdin.destroy());
  for await (const name of imageNames({ operands, nulSeparated: flags.null === true, input: process.stdin })) {
    session.signal.throwIfAborted();
    const image = await examineImage(name, options);
    session.signal.throwIfAborted();
    if (image.error !== undefined) session.exitCode = Math.max(session.exitCode, EXIT_CODE_OF_KIND[image.error.kind]);
    await writer.image(image);
  }
  if (writer.count() === 0) {
    throw new PlimsollError('usage', 'NO_IMAGES', { doing: 'read images', found: 'no names on standard input', expected: 'at least one' });
  }
  await writer.end();
}

interface ImageWriter {
  image(report: ImageReport): Promise<void>;
  end(): Promise<void>;
  count(): number;
}

/** One document, written image by image: memory does not depend on the number of images. */
async function jsonWriter(session: Session): Promise<ImageWriter> {
  const { hostIdentity } = await import('#host');
  let count = 0;
  return {
    count: () => count,
    image: async (report) => {
      const head = `{"schema":"plimsoll.info/1","host":${jsonText(hostIdentity())},"definitions":${jsonText(DEFINITIONS)},"images":[\n`;
      await session.print(`${count === 0 ? head : ',\n'}${jsonText(report)}`);
      count += 1;
    },
    end: () => session.print('\n]}\n'),
  };
}

async function humanWriter(session: Session, explain: boolean): Promise<ImageWriter> {
  const { imageLines } = await import('../render/image.ts');
  let count = 0;
  return {
    count: () => count,
    image: async (report) => {
      await session.printLines([...(count === 0 ? [] : ['']), ...imageLines(report, session.theme, { explain })]);
      count += 1;
    },
    end: async () => {},
  };
}
