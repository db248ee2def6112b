/** `plimsoll vet`: checks whether an untrusted image is safe, and prints the next steps. */
import { readFile } from 'node:fs/promises';
import { Argument, Option } from 'commander';
import { asPlimsollError, escapeForTerminal, PlimsollError, jsonText } from '#base';
import type { VetManyOptions } from '#sandbox';
import { EXIT_CODE_OF_KIND, EXIT_CODES, IMAGE_FORMATS, type Verdict, type VetReport } from '#wire';
import { imageNames } from '../image-names.ts';
import { addOutputOptions, type OutputFlags } from '../output-options.ts';
import { progressLine } from '../progress-line.ts';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';

interface VetFlags extends OutputFlags {
  readonly format?: string;
  readonly policy?: string;
  readonly sha256?: true;
  readonly compare?: true;
  readonly unconfined?: true;
  readonly oneWorker?: true;
}

/** Formats that a sender can declare, including those that are never accepted: such a declaration is part of the verdict. */
const DECLARED_FORMATS = [...IMAGE_FORMATS, 'vpc', 'iso', 'parallels', 'ploop', 'bochs', 'cloop', 'dmg', 'ami', 'ari', 'aki'];

const EXIT_OF_VERDICT: Readonly<Record<Verdict, number>> = {
  safe: EXIT_CODES.ok,
  convert: EXIT_CODES.vetConvert,
  'header-only': EXIT_CODES.vetHeaderOnly,
  unrecognised: EXIT_CODES.vetUnrecognised,
  ambiguous: EXIT_CODES.vetAmbiguous,
  refused: EXIT_CODES.vetRefused,
};

export function vetCommand(session: Session): VerbCommand {
  const command = new VerbCommand('vet', {
    summary: 'check whether an untrusted image is safe',
    description:
      'Vets an image before anything else opens it: whether it references other files, has inconsistent metadata, requires more work ' +
      'than its size warrants, or is ambiguous between formats. Reports the reasons with their offsets, and the arguments to use ' +
      'next. With - the image itself is read from standard input as it arrives, in one pass with bounded memory.',
    figures: ['capacity', 'length'],
    examples: [
      { does: 'before an upload is used', line: 'plimsoll vet -f qcow2 upload.qcow2' },
      { does: 'during an upload', line: 'curl -s https://example.org/disk.qcow2 | tee upload.part | plimsoll vet -' },
      { does: 'a whole directory, fast', line: 'plimsoll vet --one-worker --json incoming/*.qcow2' },
      { does: "with a site's own policy, as JSON", line: 'plimsoll vet --policy site.json --sha256 --json upload.img' },
    ],
    exits: [
      ...(['ok', 'usage', 'vetRefused', 'vetAmbiguous', 'vetConvert', 'vetHeaderOnly', 'vetUnrecognised', 'notFound'] as const),
      ...(['unsupported', 'refused', 'overBudget', 'io', 'bug', 'interrupted'] as const),
    ],
    exitMeanings: {
      ok: 'the image may be attached to a guest, with the format that is printed',
      refused: 'not a regular file: nothing was opened',
      unsupported: 'a sandboxed process cannot be started on this host',
    },
  });
  command
    .addArgument(new Argument('<image...>', 'images to vet; - reads one image from standard input'))
    .addOption(new Option('-f, --format <format>', 'the format declared by the sender').choices(DECLARED_FORMATS))
    .option('--policy <file>', 'the policy of the site, as JSON: see docs/vet.md')
    .option('--sha256', 'also hash the whole file, to detect a later replacement')
    .option('--compare', 'also run qemu-img in a sandbox and report where the two disagree')
    .option(
      '--one-worker',
      'one sandboxed process for all images instead of one each: many times faster, but an image that compromises it could ' +
        'falsify the verdicts of the others',
    )
    .option('--unconfined', 'read the image in this process, without sandboxing');
  return addOutputOptions(command).action((images: string[], flags: VetFlags) => runVet(images, flags, session));
}

async function runVet(operands: readonly string[], flags: VetFlags, session: Session): Promise<void> {
  if (flags.compare === true && operands.includes('-'))
    throw new PlimsollError('usage', 'VET_COMPARE', {
      doing: 'vet standard input',
      found: '--compare',
      expected: 'a file, which qemu-img can open',
    });
  const printer = flags.output === 'json' ? jsonPrinter(session) : await humanPrinter(session);
  const progress = judgedSoFar(operands, session);
  const isAlone = operands.length === 1 && flags.output !== 'json';
  try {
    for await (const { path, report, error } of outcomes(operands, await optionsOf(flags, session), session)) {
      progress.clear();
      if (report !== null) {
        session.exitCode = worse(session.exitCode, EXIT_OF_VERDICT[report.verdict]);
        await printer.image(report);
      } else {
        if (isAlone) throw error;
        session.exitCode = worse(session.exitCode, EXIT_CODE_OF_KIND[error.kind]);
        await printer.error(path === null ? null : path.toString(), error);
      }
      progress.oneMore();
    }
  } finally {
    progress.clear();
  }
  await printer.end();
}

async function optionsOf(flags: VetFlags, session: Session): Promise<VetManyOptions> {
  const { DEFAULT_POLICY, parsePolicy } = await import('#sandbox');
  return {
    declared: flags.format,
    policy: flags.policy === undefined ? DEFAULT_POLICY : parsePolicy(await readPolicy(flags.policy)),
    unconfined: flags.unconfined === true,
    oneWorker: flags.oneWorker === true,
    sha256: flags.sha256 === true,
    compare: flags.compare === true,
    signal: session.signal,
  };
}

/** Here - is an image, not a list of names: its path is null. */
type Outcome =
  | { readonly path: string | Buffer | null; readonly report: VetReport; readonly error: null }
  | { readonly path: string | Buffer | null; readonly report: null; readonly error: PlimsollError };

/** One item per operand, in their order; the files between streams are judged together. */
async function* outcomes(operands: readonly string[], options: VetManyOptions, session: Session): AsyncGenerator<Outcome> {
  const { vetMany } = await import('#sandbox');
  for (let at = 0; at < operands.length; ) {
    const stream = operands.indexOf('-', at);
    const end = stream < 0 ? operands.length : stream;
    const names = imageNames({ operands: operands.slice(at, end), nulSeparated: false, input: process.stdin });
    if (end > at) yield* vetMany(names, options);
    if (stream >= 0) yield await streamOutcome(options, session);
    at = end + 1;
  }
}

async function streamOutcome(options: VetManyOptions, session: Session): Promise<Outcome> {
  const { vetStream } = await import('#sandbox');
  try {
    return { path: null, report: await vetStream(process.stdin, options), error: null };
  } catch (thrown) {
    session.signal.throwIfAborted();
    return { path: null, report: null, error: asPlimsollError(thrown, 'vet image') };
  }
}

/** A line on standard error, unless the verdicts themselves show the progress. */
function judgedSoFar(operands: readonly string[], session: Session): { oneMore(): void; clear(): void } {
  if (operands.length === 1 || session.theme.terminal) return { oneMore: () => {}, clear: () => {} };
  const line = progressLine(process.stderr, session.errorTheme);
  let judgedCount = 0;
  return {
    oneMore: () => {
      judgedCount += 1;
      line.show(`${judgedCount} of ${operands.length} images vetted`);
    },
    clear: () => line.clear(),
  };
}

interface Printer {
  image(report: VetReport): Promise<void>;
  /** An image that could not be judged. */
  error(path: string | null, error: PlimsollError): Promise<void>;
  end(): Promise<void>;
}

/** One document, written image by image. */
function jsonPrinter(session: Session): Printer {
  const errors: object[] = [];
  let count = 0;
  const begin = '{"schema":"plimsoll.vet/1","images":[';
  return {
    image: async (report) => {
      await session.print(`${count === 0 ? `${begin}\n` : ',\n'}${jsonText(report)}`);
      count += 1;
    },
    error: async (path, error) => void errors.push({ path, ...error.toJSON() }),
    end: () => session.print(`${count === 0 ? begin : ''}\n],"errors":${jsonText(errors)}}\n`),
  };
}

async function humanPrinter(session: Session): Promise<Printer> {
  const { vetLines } = await import('../render/vet.ts');
  let count = 0;
  return {
    image: async (report) => {
      await session.printLines([...(count === 0 ? [] : ['']), ...vetLines(report, session.theme)]);
      count += 1;
    },
    error: async (path, error) => session.warn(`plimsoll: ${escapeForTerminal(`${path ?? 'standard input'}: ${error.message}`)}`),
    end: async () => {},
  };
}

async function readPolicy(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (thrown) {
    throw asPlimsollError(thrown, 'read policy', path);
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PlimsollError('usage', 'VET_POLICY', {
      doing: 'read policy',
      image: path,
      found: 'invalid JSON',
      expected: 'a JSON object',
      cause,
    });
  }
}

/** The most severe first. */
const GRAVEST: readonly Verdict[] = ['refused', 'ambiguous', 'header-only', 'unrecognised', 'convert'];

/** Refused and ambiguous outweigh an image that could not be judged, which outweighs every other verdict. */
function worse(one: number, other: number): number {
  const codes = GRAVEST.map((verdict) => EXIT_OF_VERDICT[verdict]);
  const isError = (code: number): boolean => code !== EXIT_CODES.ok && !codes.includes(code);
  const order = [...codes.slice(0, 2), ...[one, other].filter(isError).sort((a, b) => b - a), ...codes.slice(2)];
  return order.find((code) => one === code || other === code) ?? EXIT_CODES.ok;
}
