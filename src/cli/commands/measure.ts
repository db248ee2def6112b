/** `plimsoll measure`: the four sizes of an image before it exists. */
import { Argument, Option } from 'commander';
import { parseSize, PlimsollError, jsonText } from '#base';
import { allowedDirectories } from '../allowed-directories.ts';
import { IMAGE_FORMATS, type ImageFormat } from '#wire';
import { collect, addOutputOptions, type OutputFlags } from '../output-options.ts';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';

type Format = 'raw' | 'qcow2';

interface MeasureFlags extends OutputFlags {
  readonly allowDir?: readonly string[];
  readonly size?: number;
  readonly from?: string;
  readonly format: Format;
  readonly sourceFormat?: ImageFormat;
  readonly option?: readonly string[];
  readonly explain?: true;
}

export function measureCommand(session: Session): VerbCommand {
  const command = new VerbCommand('measure', {
    summary: 'compute the four sizes of an image before it exists',
    description: 'Computes the exact sizes of the image that `create` or a copy would produce, without writing anything.',
    figures: ['capacity', 'length', 'allocation', 'commitment', 'expected'],
    examples: [
      { does: 'a new qcow2 of 40 GiB', line: 'plimsoll measure -f qcow2 --size 40G' },
      {
        does: 'the same, preallocated, with large clusters',
        line: 'plimsoll measure -f qcow2 --size 40G -o cluster_size=2M,preallocation=falloc',
      },
      { does: 'a copy of an existing image', line: 'plimsoll measure -f qcow2 --from old.vm.raw -F raw' },
      { does: 'a qcow2 converted from a VMDK', line: 'plimsoll measure -f qcow2 --from appliance.vmdk -F vmdk' },
    ],
    exits: ['notFound', 'corrupt', 'unsupported', 'refused', 'overBudget', 'busy'],
  });
  command
    .addArgument(new Argument('[size]', 'the capacity, such as 40G (the same as --size)').argParser((text) => parseSize(text, 'SIZE')))
    .option('--size <size>', 'the capacity, such as 40G', (text) => parseSize(text, '--size'))
    .option('--from <image>', 'the image to copy, instead of a size')
    .addOption(new Option('-f, --format <format>', 'the format of the new image').choices(['raw', 'qcow2']).default('qcow2'))
    .addOption(new Option('-F, --source-format <format>', 'the format of the image to copy').choices(IMAGE_FORMATS))
    .option('-o, --option <key=value,...>', 'creation options, as qemu-img takes them (may be repeated)', collect)
    .option('--explain', 'show the components of the commitment');
  command.option('--allow-dir <directory>', 'with --from: also follow references into this directory (may be repeated)', collect);
  return addOutputOptions(command).action((size: number | undefined, flags: MeasureFlags) => runMeasure(size, flags, session));
}

async function runMeasure(operand: number | undefined, flags: MeasureFlags, session: Session): Promise<void> {
  const { measureCopy, measureNew, parseCreateOptions } = await import('#create');
  const options = parseCreateOptions(flags.format, flags.option ?? []);
  const size = oneSource(operand, flags);
  const report =
    typeof size === 'number'
      ? measureNew(flags.format, size, options)
      : await measureCopy(size.from, flags.format, options, {
          ...(flags.sourceFormat === undefined ? {} : { sourceFormat: flags.sourceFormat }),
          allowDirectories: await allowedDirectories(flags.allowDir),
          signal: session.signal,
        });
  if (flags.output === 'json') return session.print(`${jsonText(report)}\n`);
  const { measureLines } = await import('../render/measure.ts');
  const title = typeof size === 'number' ? `A new ${flags.format} image would have` : `A ${flags.format} copy of ${size.from} would have`;
  return session.printLines(measureLines(report, title, session.theme, flags.explain === true));
}

/** Exactly one of SIZE, --size and --from must be given. */
function oneSource(operand: number | undefined, flags: MeasureFlags): number | { readonly from: string } {
  const given = [operand, flags.size, flags.from].filter((one) => one !== undefined);
  if (given.length === 1) {
    if (flags.from !== undefined) return { from: flags.from };
    return (operand ?? flags.size) as number;
  }
  throw new PlimsollError('usage', 'MEASURE_SOURCE', {
    doing: 'measure',
    found: given.length === 0 ? 'neither a size nor an image' : 'more than one of SIZE, --size and --from',
    expected: 'one of --size SIZE and --from IMAGE',
  });
}
