/**
 * The content of an open file becomes a report: its format's parser reads the tables, the commitment follows from them. All parsing
 * of untrusted bytes for figures is below this module. It runs in a confined worker (`examine-handler.ts`) or, where that is
 * allowed, inline (`examine.ts`).
 */
import { asPlimsollError, formatBytes, KiB, PlimsollError, plural, quoteForHumans, saturated, type SerializedError } from '#base';
import { type FileFacts, type ReadableDevice, readUpTo, type TableMemory, withTableMemory } from '#block';
import {
  type Census,
  type Evidence,
  isWrapping,
  judgeUnsigned,
  probe,
  PROBE_BYTES,
  type Qcow2Header,
  readCensus,
  readQcow2Header,
} from '#formats';
import { type Figures, qcow2Figures, rawFigures } from '#commitment';
import { chooseFormat, type FileReferences, gatherEvidence, metadataDevice, referencesOfQcow2 } from '#references';
import type { ChainLink, Finding, ImageFormat, ImageReport } from '#wire';
import { type ChainOptions, followChain } from './chain.ts';
import { type ExportKind, exportKindOf, exportKindOfReport } from './export-kind.ts';
import { OTHER_FORMATS, type OtherFormat } from './other-formats.ts';
import { rawReadingOf, type UnprovenFile, withRawReading } from './raw-reading.ts';

/** A file to examine: what the host and its caller know of it. */
export interface ImageFile {
  /** The name that it has or had, as the kernel takes it: references are relative to it. */
  readonly path: Buffer;
  /** The same for people. */
  readonly shownPath: string;
  readonly facts: FileFacts;
  /** undefined: the format is taken from the signature. */
  readonly declared: ImageFormat | undefined;
  /** Found by a scan: it may turn out not to be a disk image. */
  readonly discovered: boolean;
  /** An earlier scan pass read it as a raw disk, or found no signature, and it had this length then. */
  readonly wasRaw: boolean;
  /** An external data file of which guest writes reach so many bytes; undefined: the whole file. */
  readonly reach: number | undefined;
}

/** Where an examination takes its bytes, memory and references from. */
export interface ContentContext extends Pick<ChainOptions, 'open' | 'knownGrowth'> {
  readonly device: ReadableDevice;
  /** For the beginning of the file. */
  readonly memory: Uint8Array;
  readonly tables: TableMemory;
  readonly signal: AbortSignal | undefined;
}

export interface ExaminedContent {
  readonly report: ImageReport;
  /** A file found by a scan that is not a disk image. */
  readonly isOther: boolean;
  /** Bytes that the holes of such a file can come to take. */
  readonly holes: number;
  /** A file that no guest writes, by its name and content. */
  readonly exported: ExportKind | undefined;
  /** Names that were looked up for the references of the image. */
  readonly lookedUp: readonly Buffer[];
  /** The growth by a commit into its backing files is unknown for want of memory for tables. */
  readonly isShortOfMemory?: boolean | undefined;
}

const NOTHING_LOOKED_UP: readonly Buffer[] = [];

/** The beginning of a file up to this length is read at once, whatever it turns out to be. */
const SMALL_FILE_BYTES = 1024 * KiB;

/** The report of an image of which nothing is known yet. */
export const UNKNOWN: Omit<ImageReport, 'path'> = {
  format: null,
  formatSource: null,
  capacity: null,
  length: null,
  allocation: null,
  commitment: null,
  expected: null,
  residual: null,
  reclaimable: 0,
  mapExcess: null,
  maxLength: null,
  method: null,
  unbounded: [],
  nextSnapshot: null,
  components: [],
  findings: [],
  chain: [],
  openForWriting: null,
  details: {},
};

/** As far as the host's facts go. */
export function knownByFacts({ length, allocation, openForWriting }: FileFacts): Omit<ImageReport, 'path'> {
  return { ...UNKNOWN, length, allocation, openForWriting: openForWriting ?? null };
}

/** Throws: only when aborted. Any other error is in the report. */
export async function examineContent(image: ImageFile, context: ContentContext): Promise<ExaminedContent> {
  const { shownPath, facts, declared, discovered } = image;
  const rest = { holes: 0, isOther: false, lookedUp: NOTHING_LOOKED_UP };
  let known = knownByFacts(facts);
  let exported: ExportKind | undefined;
  let unproven: UnprovenFile | undefined;
  try {
    context.signal?.throwIfAborted();
    const device = metadataDevice(context.device, facts, context.memory, context.tables);
    const prefix = await readUpTo(facts.length <= SMALL_FILE_BYTES ? device : context.device, 0, PROBE_BYTES);
    const evidence = await gatherEvidence(context.device, prefix);
    if (declared === undefined) unproven = unprovenFile(image, evidence);
    if (declared === undefined) exported = await exportKindOf(shownPath, prefix, context.device);
    if (discovered && declared === undefined && isOtherFile(evidence, shownPath, facts.length)) {
      const { holes, mapExcess } = exported === undefined ? holesOf(facts) : NO_HOLES;
      return { ...rest, report: { path: shownPath, ...known, mapExcess }, exported, isOther: true, holes };
    }
    const { format, source } = chooseFormat(evidence, declared, discovered);
    known = { ...known, format, formatSource: source };
    if (format === 'raw') return { ...rest, report: rawReport(image, known, prefix), exported };
    const parsing = { known, device, context };
    const { report: own, ...followed } = await (format === 'qcow2' ? qcow2Report(image, parsing) : otherReport(image, format, parsing));
    const report = unproven === undefined ? own : withRawReading(own, unproven);
    return { ...rest, report, exported: exportKindOfReport(report), ...followed };
  } catch (thrown) {
    if (context.signal?.aborted === true) throw thrown;
    const error = asPlimsollError(thrown, 'read image', shownPath);
    if (unproven !== undefined && discovered) known = { ...known, ...rawReadingOf(unproven) };
    return { ...rest, report: { path: shownPath, ...known, error: error.toJSON() }, exported };
  }
}

/** An undeclared file with a signature, or with a name that suggests one. */
function unprovenFile({ shownPath: path, facts, wasRaw }: ImageFile, evidence: readonly Evidence[]): UnprovenFile {
  return { path, facts, signatures: evidence.map(({ format }) => format), wasRaw };
}

/** What a file without structure can take by writes that fill its holes; one without holes takes nothing more. */
function holesOf(facts: FileFacts): { readonly holes: number; readonly mapExcess: number } {
  const { components, residual, mapExcess } = rawFigures(facts);
  return components.some(({ code }) => code === 'guest-data') ? { holes: residual ?? 0, mapExcess: mapExcess ?? 0 } : NO_HOLES;
}

const NO_HOLES = { holes: 0, mapExcess: 0 };

/** Whether a file found by a scan is no disk image. Throws: corrupt, when its name says container and its bytes do not. */
function isOtherFile(evidence: readonly Evidence[], path: string, length: number): boolean {
  const verdict = judgeUnsigned(path, length);
  // A guest can write an archive's first bytes on its raw disk; what the host calls the file it cannot choose.
  if (evidence.length > 0) return verdict === 'other' && evidence.every((one) => isWrapping(one.format));
  if (verdict === 'container') {
    throw new PlimsollError('corrupt', 'SIGNATURE_MISSING', {
      doing: 'detect the image format',
      found: 'no signature',
      expected: 'a signature matching the file extension',
    });
  }
  return verdict === 'other';
}

function rawReport({ shownPath: path, facts, reach }: ImageFile, known: Omit<ImageReport, 'path'>, prefix: Uint8Array): ImageReport {
  const arithmetic = rawFigures(facts, reach);
  const findings = [...arithmetic.findings];
  const [evidence] = probe(prefix);
  if (known.formatSource === 'guess' && judgeUnsigned(path, facts.length) === 'container') {
    findings.push({
      level: 'warning',
      code: 'NAME_PROMISES_CONTAINER',
      message: 'The file extension is that of an image format whose signature is missing: treated as raw, as a guess.',
    });
  }
  if (evidence !== undefined) {
    findings.push({
      level: 'warning',
      code: 'RAW_WITH_SIGNATURE',
      message: `${known.formatSource === 'declared' ? 'Declared raw' : 'Treated as raw by its name'}, but the first bytes are those of ${evidence.format}: the guest may have written them. Always declare the format of this file.`,
    });
  }
  return combined(path, known, arithmetic, { findings, chain: [], details: {}, error: undefined });
}

/** A part of what an examination gives. */
type Followed = Pick<ExaminedContent, 'report' | 'lookedUp' | 'isShortOfMemory'>;

interface Parsing {
  readonly known: Omit<ImageReport, 'path'>;
  readonly device: ReadableDevice;
  readonly context: ContentContext;
}

async function qcow2Report(image: ImageFile, { known, device, context }: Parsing): Promise<Followed> {
  const header = await readQcow2Header(device);
  const census = await readCensus(device, header, context.signal);
  const details = detailsOf(header, census);
  const arithmetic = withTableMemory(device.memory, () => qcow2Figures(census, image.facts));
  const chain = await followChain(referencesOfQcow2(header), chainOptions(image, device, context));
  const report = combined(image.shownPath, known, arithmetic, {
    findings: [...arithmetic.findings, ...chain.findings],
    chain: chain.links,
    details,
    error: chain.error?.toJSON(),
  });
  return { report, lookedUp: chain.lookedUp, isShortOfMemory: chain.isShortOfMemory };
}

async function otherReport(image: ImageFile, format: OtherFormat, { known, device, context }: Parsing): Promise<Followed> {
  const read = await OTHER_FORMATS[format](device, image.facts, context.signal);
  const { figures: counted, details, parent, references = NO_FILES } = read;
  const chain = await followChain(references, chainOptions(image, device, context));
  const findings = [...counted.findings, ...extentFindings(format, chain.links), ...chain.findings];
  const report = combined(image.shownPath, known, counted, {
    findings: parent === undefined ? findings : [...findings, differencing(parent)],
    chain: chain.links,
    details,
    error: chain.error?.toJSON(),
  });
  return { report, lookedUp: chain.lookedUp, isShortOfMemory: chain.isShortOfMemory };
}

function chainOptions(image: ImageFile, device: ReadableDevice, { open, knownGrowth, signal }: ContentContext): ChainOptions {
  const { path, shownPath, facts } = image;
  return { path, shownPath, identity: facts.identity, open, knownGrowth, tables: device.memory, signal };
}

/** The figures are those of the descriptor alone: in a store each extent file counts by itself. */
function extentFindings(format: OtherFormat, links: readonly ChainLink[]): Finding[] {
  if (format !== 'vmdk' || links.length === 0) return [];
  const most = new Map<string, number>();
  for (const { file, commitment } of links) {
    if (file !== undefined && commitment !== undefined) most.set(file, Math.max(most.get(file) ?? 0, commitment));
  }
  const bytes = saturated([...most.values()].reduce((sum, one) => sum + one, 0));
  const files = plural(most.size, 'extent file');
  const message = `The figures are those of the descriptor alone. The ${files} that could be read can grow to ${formatBytes(bytes)} (${bytes} bytes) together; a scan counts each separately.`;
  return [{ level: 'info', code: 'VMDK_EXTENT_FILES', message }];
}

const NO_FILES: FileReferences = { capacity: 0, backing: undefined, data: [] };

function differencing(parent: string): Finding {
  return {
    level: 'warning',
    code: 'PARENT_NOT_FOLLOWED',
    message: `The image is a differencing image with the parent "${quoteForHumans(parent, 200)}", which is not opened: the figures are those of this file alone.`,
  };
}

/** Field by field: V8 takes twenty times as long to spread records into one another, and a store has thousands. */
function combined(
  path: string,
  { format, formatSource, openForWriting }: Omit<ImageReport, 'path'>,
  figured: Figures,
  rest: Pick<ImageReport, 'findings' | 'chain' | 'details'> & { readonly error: SerializedError | undefined },
): ImageReport {
  const report = {
    path,
    format,
    formatSource,
    capacity: figured.capacity,
    length: figured.length,
    allocation: figured.allocation,
    commitment: figured.commitment,
    expected: figured.expected,
    residual: figured.residual,
    reclaimable: figured.reclaimable,
    mapExcess: figured.mapExcess,
    maxLength: figured.maxLength,
    method: figured.method,
    unbounded: figured.unbounded,
    nextSnapshot: figured.nextSnapshot,
    components: figured.components,
    findings: rest.findings,
    chain: rest.chain,
    openForWriting,
    details: rest.details,
  };
  return rest.error === undefined ? report : { ...report, error: rest.error };
}

function detailsOf(header: Qcow2Header, census: Census): Record<string, string | number | boolean> {
  const newest = census.snapshotTable.snapshots.at(-1);
  return {
    version: header.version,
    clusterSize: header.clusterSize,
    refcountBits: 2 ** header.refcountOrder,
    extendedL2: header.extendedL2,
    lazyRefcounts: header.lazyRefcounts,
    compressionType: header.compressionType,
    encryption: header.encryption,
    externalDataFile: header.externalDataFile,
    internalSnapshots: census.snapshotTable.snapshots.length,
    ...(newest === undefined ? {} : { newestSnapshot: `${newest.id} of ${newest.takenAt}` }),
    bitmaps: census.bitmaps.length,
  };
}
