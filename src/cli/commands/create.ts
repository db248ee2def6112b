/** `plimsoll create`: creates an image and reports its sizes. */
import { Argument, Option } from 'commander';
import { type Assumption, escapeForTerminal, formatBytes, parseSize, PlimsollError, jsonText } from '#base';
import { type AdmissionDecision, DEFINITIONS, EXIT_CODES, type Finding, type ImageReport } from '#wire';
import { addAssumeOption, addOutputOptions, collect, type OutputFlags } from '../output-options.ts';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';

type Format = 'raw' | 'qcow2';

interface CreateFlags extends OutputFlags {
  readonly format: Format;
  readonly option?: readonly string[];
  readonly backing?: string;
  readonly backingFormat?: Format;
  readonly quiet?: true;
  readonly overcommit?: true;
  readonly socket?: string;
  readonly assume?: readonly Assumption[];
}

export function createCommand(session: Session): VerbCommand {
  const command = new VerbCommand('create', {
    summary: 'create a disk image',
    description:
      'Creates a raw or qcow2 image with the options of qemu-img. The image appears under its name only when it is complete: ' +
      'an interrupted command leaves no partial file. An existing file is never overwritten. If a daemon (plimsoll serve) monitors ' +
      'the store, it is queried first, and the image is created only if it fits.',
    figures: ['capacity', 'allocation', 'commitment'],
    examples: [
      { does: 'grows on demand', line: 'plimsoll create -f qcow2 web.qcow2 40G' },
      { does: 'all storage allocated at once, by one system call', line: 'plimsoll create -f raw -o preallocation=falloc db.raw 40G' },
      { does: 'all storage written, with a progress bar', line: 'plimsoll create -f qcow2 -o preallocation=full db.qcow2 40G' },
      { does: 'an overlay', line: 'plimsoll create -f qcow2 -b base.qcow2 -F qcow2 web.qcow2' },
    ],
    exits: ['doesNotFit', 'undetermined', 'notFound', 'corrupt', 'unsupported', 'refused', 'overBudget', 'busy', 'conflict'],
    exitMeanings: {
      doesNotFit: 'it does not fit; nothing was created',
      undetermined: 'unknown whether it fits, or the daemon did not answer; nothing was created',
    },
  });
  command
    .addArgument(new Argument('<path>', 'the image to create'))
    .addArgument(
      new Argument('[size]', 'its capacity, such as 40G (default for an overlay: that of its backing file)').argParser((text) =>
        parseSize(text, 'SIZE'),
      ),
    )
    .addOption(new Option('-f, --format <format>', 'its format').choices(['raw', 'qcow2']).makeOptionMandatory())
    .option('-o, --option <key=value,...>', 'creation options, as qemu-img takes them (may be repeated)', collect)
    .option('-b, --backing <backing>', 'the backing file of an overlay; a relative name is relative to the directory of the image')
    .addOption(new Option('-F, --backing-format <format>', 'the format of the backing file').choices(['raw', 'qcow2']))
    .option('--overcommit', 'create it even if it does not fit or the daemon does not answer')
    .option('--socket <path>', "the daemon's socket")
    .option('-q, --quiet', 'print only errors');
  return addOutputOptions(addAssumeOption(command)).action((path: string, size: number | undefined, flags: CreateFlags) =>
    runCreate(path, size, flags, session),
  );
}

async function runCreate(path: string, size: number | undefined, flags: CreateFlags, session: Session): Promise<void> {
  const { createImage, parseCreateOptions } = await import('#create');
  const { writeProgress } = await import('../write-progress.ts');
  const { CreateAdmission } = await import('../create-admission.ts');
  const backing = backingOf(flags);
  const options = parseCreateOptions(flags.format, flags.option ?? []);
  const admission = new CreateAdmission(
    { path, options, overcommit: flags.overcommit === true, assume: flags.assume ?? [], socket: flags.socket },
    session,
  );
  const progress = writeProgress(session, flags.quiet === true || flags.output === 'json');
  let findings: readonly Finding[] = [];
  try {
    ({ findings } = await createImage({
      path,
      format: flags.format,
      ...(size === undefined ? {} : { capacity: size }),
      options,
      overcommit: flags.overcommit === true,
      beforeWriting: (capacity) => admission.ask(capacity),
      ...(backing === undefined ? {} : { backing }),
      signal: session.signal,
      onProgress: (doneBytes, totalBytes) => progress.update(doneBytes, totalBytes),
    }));
  } catch (error) {
    const { refusal } = admission;
    if (refusal === undefined) throw error;
    return await printRefusal(refusal, flags, session);
  } finally {
    progress.end();
    await admission.end();
  }
  for (const { message, code } of findings) session.warn(`plimsoll: ${escapeForTerminal(message)} [${code}]`);
  if (flags.quiet !== true) await printResult(path, flags, session);
}

/** The calculation goes to standard error: standard output reports the created image. */
async function printRefusal(decision: AdmissionDecision, flags: CreateFlags, session: Session): Promise<void> {
  session.exitCode = decision.admitted === null ? EXIT_CODES.undetermined : EXIT_CODES.doesNotFit;
  if (flags.output === 'json') return session.print(`${jsonText(decision)}\n`);
  const { admissionLines } = await import('../render/admission.ts');
  for (const line of admissionLines(decision, session.errorTheme, true)) session.warn(line);
  session.warn('Nothing was created. Use --overcommit to create it anyway.');
}

interface Backing {
  readonly name: string;
  readonly format: Format;
}

/** QEMU would guess the format of a backing file that declares none, and a guest could then choose it. */
function backingOf(flags: CreateFlags): Backing | undefined {
  if (flags.backing === undefined && flags.backingFormat === undefined) return undefined;
  if (flags.backing !== undefined && flags.backingFormat !== undefined) return { name: flags.backing, format: flags.backingFormat };
  throw new PlimsollError('usage', 'BACKING_PAIR', {
    doing: 'create an overlay',
    found: flags.backing === undefined ? '-F without -b' : '-b without -F',
    expected: 'the backing file and its format, together',
  });
}

async function printResult(path: string, flags: CreateFlags, session: Session): Promise<void> {
  const [{ examineImage }, { hostIdentity }] = await Promise.all([import('#sandbox'), import('#host')]);
  const image = await examineImage(path, { format: flags.format, signal: session.signal });
  if (flags.output === 'json') {
    return session.print(`${jsonText({ schema: 'plimsoll.info/1', host: hostIdentity(), definitions: DEFINITIONS, images: [image] })}\n`);
  }
  return session.print(`${resultLine(image)}\n`);
}

function resultLine(image: ImageReport): string {
  const figures = [
    ['capacity', image.capacity],
    ['allocation', image.allocation],
    ['commitment', image.commitment],
  ] as const;
  const texts = figures.map(([name, bytes]) => `${name} ${bytes === null ? 'unknown' : formatBytes(bytes)}`);
  return `${escapeForTerminal(image.path)}: ${texts.join(', ')}`;
}
