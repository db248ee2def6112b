/** `plimsoll info`: the four figures of images. */
import { Argument, Option } from 'commander';
import { PlimsollError, jsonText } from '#base';
import { DEFINITIONS, EXIT_CODE_OF_KIND, IMAGE_FORMATS, type ImageReport } from '#wire';
import { allowedDirectories } from '../allowed-directories.ts';
import { imageNames } from '../image-names.ts';
import { addOutputOptions, collect, type OutputFlags } from '../output-options.ts';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';

/** Formats that `-f` accepts; anything else is taken by nobody. */
const FORMATS = IMAGE_FORMATS;

interface InfoFlags extends OutputFlags {
  readonly format?: (typeof FORMATS)[number];
  readonly explain?: true;
  readonly allowDir?: readonly string[];
  readonly null?: true;
}

export function infoCommand(session: Session): VerbCommand {
  const command = new VerbCommand('info', {
    summary: 'the four figures of disk images',
    description:
      'Reads images, without ever writing to them or locking them, and says how large each is and how large it can come to be. ' +
      'An image that a running machine uses can be read too; its figures lag behind until the machine flushes.',
    figures: ['capacity', 'length', 'allocation', 'commitment', 'expected', 'residual'],
    examples: [
      { does: 'one image', line: 'plimsoll info web.qcow2' },
      { does: 'what the commitment is made of', line: 'plimsoll info --explain web.qcow2' },
      { does: 'every image below a directory, for a program', line: "find /srv -name '*.qcow2' -print0 | plimsoll info -0 --json -" },
    ],
    exits: ['notFound', 'corrupt', 'unsupported', 'refused', 'overBudget', 'busy'],
  });
  command
    .addArgument(new Argument('<image...>', 'images to read; - reads their names from standard input'))
    .addOption(new Option('-f, --format <format>', 'the format, instead of recognising it').choices(FORMATS))
    .option('--explain', 'show what the commitment is made of, as a sum')
    .option('--allow-dir <directory>', 'also follow references into this directory (may be repeated)', collect)
    .option('-0, --null', 'names on standard input end with NUL')
    .option('-U, --force-share', 'accepted for qemu-img users: nothing is ever locked')
    .option('--backing-chain', 'accepted for qemu-img users: the chain is always shown');
  return addOutputOptions(command).action((images: string[], flags: InfoFlags) => runInfo(images, flags, session));
}

async function runInfo(operands: readonly string[], flags: InfoFlags, session: Session): Promise<void> {
  const [{ examineImage }, { newHostCache }] = await Promise.all([import('#sandbox'), import('#host')]);
  const writer = flags.output === 'json' ? jsonWriter(session) : await humanWriter(session, flags.explain === true);
  const options = {
    ...(flags.format === undefined ? {} : { format: flags.format }),
    allowDirectories: await allowedDirectories(flags.allowDir),
    signal: session.signal,
    cache: newHostCache(),
  };
  // Somebody may be typing the names: an interrupt must not wait for the next one.
  session.signal.addEventListener('abort', () => process.stdin.destroy());
  for await (const name of imageNames({ operands, nulSeparated: flags.null === true, input: process.stdin })) {
    session.signal.throwIfAborted();
    const image = await examineImage(name, options);
    session.signal.throwIfAborted();
    if (image.error !== undefined) session.exitCode = Math.max(session.exitCode, EXIT_CODE_OF_KIND[image.error.kind]);
    await writer.image(image);
  }
  if (writer.count() === 0) {
    throw new PlimsollError('usage', 'NO_IMAGES', { doing: 'read images', found: 'no name on standard input', expected: 'at least one' });
  }
  await writer.end();
}

interface ImageWriter {
  image(report: ImageReport): Promise<void>;
  end(): Promise<void>;
  count(): number;
}

/** One document, written image by image: a list of any length needs no memory. */
function jsonWriter(session: Session): ImageWriter {
  let count = 0;
  return {
    count: () => count,
    image: async (report) => {
      const head = `{"schema":"plimsoll.info/1","definitions":${jsonText(DEFINITIONS)},"images":[\n`;
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
