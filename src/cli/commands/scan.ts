/**
 * `plimsoll scan`: reports every image below directories, grouped by store, and whether each store is overcommitted.
 */
import { Argument, Option } from 'commander';
import { type Assumption, jsonText, parseSize, PlimsollError, plural } from '#base';
import { EXIT_CODES, type ScanReport } from '#wire';
import { allowedDirectories } from '../allowed-directories.ts';
import { addAssumeOption, addOutputOptions, collect, type OutputFlags } from '../output-options.ts';
import { progressLine } from '../progress-line.ts';
import type { Session } from '../session.ts';
import { VerbCommand } from '../verb-command.ts';

interface ScanFlags extends OutputFlags {
  readonly floor?: number;
  readonly allowDir?: readonly string[];
  readonly raw?: readonly string[];
  readonly assume?: readonly Assumption[];
  readonly neverWritten?: readonly string[];
  readonly exclude?: readonly string[];
  readonly limit?: number;
  readonly frozenBacking?: true;
}

export function scanCommand(session: Session): VerbCommand {
  const command = new VerbCommand('scan', {
    summary: 'report whether stores are overcommitted',
    description:
      'Finds every image below the directories and groups them by store (filesystem), so that two directories on one filesystem ' +
      'count once. Reports for each store the storage its images use now, the maximum they can ever use, and whether every future ' +
      'guest write fits. An unreadable image or directory is never skipped: it makes the answer "unknown".',
    figures: ['capacity', 'allocation', 'commitment', 'residual', 'exclusive', 'shared', 'headroom'],
    examples: [
      { does: 'check one directory', line: 'plimsoll scan /var/lib/libvirt/images' },
      { does: 'keep 20 GiB free, act on the result', line: 'plimsoll scan --floor 20G /srv/vm || page-the-admin' },
      {
        does: 'the three readable images of the highest risk',
        line: "plimsoll scan --json /srv/vm | jq '[.stores[0].images[] | select(.residual)][:3]'",
      },
    ],
    exits: ['doesNotFit', 'undetermined'],
    exitMeanings: {
      ok: 'every future guest write fits, in every store',
      doesNotFit: 'the images can outgrow a store',
      undetermined: 'unknown: part of the store is unreadable, or its properties cannot be verified',
    },
  });
  command
    .addArgument(new Argument('<directory...>', 'directories to search'))
    .option('--floor <size>', 'bytes that must always remain free, such as 20G', (text) => parseSize(text, '--floor'))
    .option('--allow-dir <directory>', 'also follow references into this directory (may be repeated)', collect)
    .option('--raw <image>', 'treat this file as raw, whatever its first bytes contain (may be repeated)', collect)
    .option('--exclude <pattern>', 'exclude files, or directories such as templates/ (may be repeated)', collect)
    .option(
      '--never-written <pattern>',
      'files that are never written and cannot grow; the word backing: backing files of overlays (may be repeated)',
      collect,
    )
    .addOption(new Option('--frozen-backing').hideHelp())
    .option('--limit <count>', 'show at most this many images of a store', parseLimit);
  return addOutputOptions(addAssumeOption(command)).action((directories: string[], flags: ScanFlags) =>
    runScan(directories, flags, session),
  );
}

async function runScan(directories: readonly string[], flags: ScanFlags, session: Session): Promise<void> {
  if (flags.frozenBacking === true) throw frozenBackingReplaced();
  const report = await collectScan(directories, flags, session);
  session.exitCode = verdictOf(report);
  await printReport(report, flags, session);
}

/** The report of a scan, with progress on standard error while it runs. */
export async function collectScan(directories: readonly string[], flags: ScanFlags, session: Session): Promise<ScanReport> {
  const { scan } = await import('#pool');
  const progress = progressLine(process.stderr, session.errorTheme);
  let report: ScanReport | undefined;
  try {
    const events = scan(directories, {
      ...(flags.floor === undefined ? {} : { floor: flags.floor }),
      allowDirectories: await allowedDirectories(flags.allowDir),
      rawFiles: flags.raw ?? [],
      assume: flags.assume ?? [],
      neverWritten: flags.neverWritten ?? [],
      exclude: flags.exclude ?? [],
      signal: session.signal,
    });
    for await (const event of events) {
      if (event.type === 'report') report = event.report;
      else if (event.type === 'progress')
        progress.show(`${plural(event.filesSeen, 'file')} seen, ${plural(event.imagesRead, 'image')} read`);
    }
  } finally {
    progress.clear();
  }
  session.signal.throwIfAborted();
  if (report === undefined) throw new Error('the scan ended without a report');
  return report;
}

function frozenBackingReplaced(): PlimsollError {
  return new PlimsollError('usage', 'OPTION_REPLACED', {
    doing: 'parse --frozen-backing',
    found: 'a removed option',
    expected: '--never-written backing, for backing files without write permission, or --never-written PATTERN',
  });
}

async function printReport(report: ScanReport, flags: ScanFlags, session: Session): Promise<void> {
  if (flags.output === 'json') return session.print(`${jsonText(report)}\n`);
  const { scanLines } = await import('../render/store.ts');
  return session.printLines(scanLines(report, session.theme, { limit: flags.limit ?? Number.POSITIVE_INFINITY }));
}

/** The worst of the stores: first those that do not fit, then those whose fit is unknown. */
export function verdictOf(report: ScanReport): number {
  if (report.stores.some((store) => store.fits === false)) return EXIT_CODES.doesNotFit;
  const unknown = report.errors.length > 0 || report.stores.some((store) => store.fits === null);
  return unknown ? EXIT_CODES.undetermined : EXIT_CODES.ok;
}

function parseLimit(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new PlimsollError('usage', 'LIMIT_SYNTAX', { doing: 'parse --limit', found: text, expected: 'a positive integer' });
}
