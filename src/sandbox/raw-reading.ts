/**
 * The second reading of an undeclared file: as a raw disk. Every byte of a raw disk belongs to its guest, which can write the
 * header of any format there. So a signature by itself never lowers a figure below what the raw disk could come to.
 *
 * The file's name belongs to the host. Where it ends as the format's names do, the format's own figures stand, unless they are
 * far below the raw reading. QEMU never cuts the end of a qcow2 off, so some difference is normal there.
 */
import { formatBytes, MiB } from '#base';
import type { FileFacts } from '#block';
import { isNamedAs, type RecognisedFormat } from '#formats';
import { type Figures, rawFigures } from '#commitment';
import { type Finding, type ImageReport, component } from '#wire';

/** A raw reading of at most this many times the format's own figure, and `PLAUSIBLE_SLACK` bytes, leaves a matching name its word. */
const PLAUSIBLE_RATIO = 2;
const PLAUSIBLE_SLACK = 256 * MiB;

export interface UnprovenFile {
  /** For its name. */
  readonly path: string;
  readonly facts: FileFacts;
  /** Of the signatures that were found; empty where the name alone promises a format. */
  readonly signatures: readonly RecognisedFormat[];
  /** An earlier look at this very file found a raw disk, or no signature. */
  readonly wasRaw: boolean;
}

/** The report of an undeclared container, with the larger of its own figures and those of a raw disk. */
export function withRawReading(report: ImageReport, file: UnprovenFile): ImageReport {
  if (report.commitment === null || report.allocation === null) return report;
  const raw = rawFigures(file.facts);
  const own = report.commitment - report.reclaimable;
  const asRaw = lasting(raw);
  if (asRaw <= own) return report.format === 'luks' ? withEitherReading(report, file, raw.expected) : report;
  const isNamed = file.signatures.every((format) => isNamedAs(file.path, format));
  if (isNamed && !file.wasRaw && asRaw <= PLAUSIBLE_RATIO * own + PLAUSIBLE_SLACK) return report;
  const commitment = Math.max(report.commitment, raw.commitment ?? 0);
  const more = commitment - report.commitment;
  return {
    ...report,
    commitment,
    residual: commitment - report.allocation,
    reclaimable: commitment - asRaw,
    mapExcess: Math.max(report.mapExcess ?? 0, raw.mapExcess ?? 0),
    expected: report.expected === null ? null : Math.max(report.expected, raw.expected ?? 0),
    maxLength: report.maxLength === null ? null : Math.max(report.maxLength, raw.maxLength ?? 0),
    components: more === 0 ? report.components : [...report.components, component('raw-reading', more)],
    findings: [...report.findings, unproven(file, asRaw - own)],
  };
}

/** A LUKS volume and a raw disk whose guest encrypts it come to the same storage; only the capacity depends on the reading. */
function withEitherReading(report: ImageReport, { path, wasRaw }: UnprovenFile, rawExpected: number | null): ImageReport {
  if (isNamedAs(path, 'luks') && !wasRaw) return report;
  const finding: Finding = {
    level: 'info',
    code: 'FORMAT_UNPROVEN',
    message:
      'The format is not declared, and a guest that encrypts its raw disk writes the same header. Both readings have the same commitment; the capacity is that of the LUKS volume.',
  };
  const expected = report.expected === null || rawExpected === null ? null : Math.max(report.expected, rawExpected);
  return { ...report, expected, findings: [...report.findings, finding] };
}

/**
 * What is known of a file whose signature led to an error: as a raw disk it can take this much at least. undefined where its
 * name agrees with the signature: then QEMU cannot open it either, and nothing is known.
 */
export function rawReadingOf(file: UnprovenFile): Pick<ImageReport, keyof Figures> | undefined {
  const { path, signatures, facts, wasRaw } = file;
  if (!wasRaw && signatures.length > 0 && signatures.every((format) => isNamedAs(path, format))) return undefined;
  const raw = rawFigures(facts);
  return { ...raw, capacity: null, expected: null, maxLength: null, findings: [unproven(file, undefined)] };
}

function lasting({ commitment, reclaimable }: Figures): number {
  return (commitment ?? 0) - reclaimable;
}

function unproven({ signatures }: UnprovenFile, more: number | undefined): Finding {
  const counted =
    more === undefined
      ? 'It counts as a raw disk at least.'
      : `As a raw disk it can use ${formatBytes(more)} more, and the larger figure counts.`;
  const message =
    signatures.length === 0
      ? `The file extension is that of a format whose signature is missing. ${counted}`
      : `The format is not declared, and the guest of a raw disk can write the signature of ${signatures.join(' and ')} itself. ${counted} A matching file extension or a declared format resolves this.`;
  return { level: 'warning', code: 'FORMAT_UNPROVEN', message };
}
