/**
 * An image path becomes figures: the host opens it, its format's parser takes the census, `sizes` does the arithmetic.
 * Runs inline, in this process: only an image's own metadata is read, by memory-safe code, under a read budget.
 */
import {
  asPlimsollError,
  formatBytes,
  KiB,
  PlimsollError,
  plural,
  quoteForHumans,
  requireArgument,
  requireOptions,
  requirePath,
  requirePaths,
  requireSignal,
  saturated,
  type SerializedError,
} from '#base';
import { type FileFacts, type ReadableDevice, readUpTo, type TableMemory, withTableMemory } from '#block';
import {
  type Evidence,
  isWrapping,
  judgeUnsigned,
  probe,
  PROBE_BYTES,
  type Census,
  type Qcow2Header,
  readCensus,
  readQcow2Header,
} from '#formats';
import { type HostCache, type HostFilesystem, nameText, newHostCache, type OpenFile, openImageFile } from '#host';
import { type Figures, qcow2Figures, rawFigures } from '#commitment';
import { type ChainLink, type Finding, IMAGE_FORMATS, type ImageFormat, type ImageReport } from '#wire';
import { followChain } from './chain.ts';
import { type FileReferences, referencesOfQcow2 } from './file-references.ts';
import { withinMemory } from './examination-memory.ts';
import { type ExportKind, exportKindOf, exportKindOfReport } from './export-kind.ts';
import { metadataDevice, PREFIX_BYTES } from './metadata-device.ts';
import { OTHER_FORMATS, type OtherFormat } from './other-formats.ts';
import { rawReadingOf, type UnprovenFile, withRawReading } from './raw-reading.ts';
import { chooseFormat, gatherEvidence } from './source-format.ts';

export type ReadableFormat = ImageFormat;

export interface FiguresOptions {
  /** The declared format; without it the format is taken from the signature, and raw is a guess. */
  readonly format?: ReadableFormat | undefined;
  /** Further directories in which references may be followed. */
  readonly allowDirectories?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** As the layers above ask: of many images in one run. */
export interface ExamineOptions extends FiguresOptions {
  /** Shared by the images of one run. */
  readonly cache?: HostCache | undefined;
  /** The file was just listed on a local filesystem. */
  readonly isLocal?: boolean | undefined;
  /** The name that it is shown and judged by, where it is opened by another: a file that was removed has none of its own. */
  readonly formerPath?: string | undefined;
  /** The file was found by a scan: by name and first bytes it may turn out to be no disk image at all. */
  readonly discovered?: boolean | undefined;
  /** Files known to be raw, by identity: whatever their first bytes are, the guest wrote them. */
  readonly rawFiles?: { has(identity: string): boolean } | undefined;
  /** Files that an earlier look saw as raw disks or without a signature, and their lengths then: a new signature there proves nothing. */
  readonly onceRaw?: ReadonlyMap<string, number> | undefined;
  /** The file is the external data file of an image whose guest writes reach so many bytes of it. */
  readonly reach?: number | undefined;
}

/** An image, its report, and what a scan needs besides. */
export interface Examined {
  readonly report: ImageReport;
  /** undefined when the file could not even be opened. */
  readonly facts: FileFacts | undefined;
  readonly filesystem: HostFilesystem | undefined;
  /** A file found by a scan that is no disk image. */
  readonly isOther: boolean;
  /** Bytes that the holes of such a file can come to take. */
  readonly holes: number;
  /** A file that no guest writes, by its name and content. */
  readonly exported: ExportKind | undefined;
  /** Names that were looked up for what the image refers to. */
  readonly lookedUp: readonly Buffer[];
  /** What a commit adds to its backing files is not known for want of memory for tables. */
  readonly isShortOfMemory?: boolean | undefined;
}

const NOTHING_LOOKED_UP: readonly Buffer[] = [];

/** Of a file up to this length the beginning is read at once, whatever it turns out to be. */
const SMALL_FILE_BYTES = 1024 * KiB;

/** What is not known of an image, before anything is. */
const UNKNOWN: Omit<ImageReport, 'path'> = {
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

/**
 * The report of the image at `path`; what goes wrong is its `error`, never an exception, save an abort and a wrong call.
 *
 * Bounds: tables of at most twice the file's storage plus 256 MiB are read.
 */
export async function examineImage(path: string | Buffer, options: ExamineOptions = {}): Promise<ImageReport> {
  checkArguments('examineImage()', path, options);
  return (await examineFile(path, options)).report;
}

/**
 * The figures of the image at `path`.
 *
 * Throws: PlimsollError (usage, not-found, io, corrupt, unsupported, refused, over-budget); the signal's reason when aborted.
 */
export async function figures(path: string | Buffer, options: FiguresOptions = {}): Promise<ImageReport> {
  checkArguments('figures()', path, options);
  const { report } = await examineFile(path, options);
  if (report.error !== undefined) throw PlimsollError.revive(report.error, report.path);
  return report;
}

/** Throws: usage, for what the types of a library call rule out. */
function checkArguments(call: string, path: unknown, options: FiguresOptions): void {
  requirePath(call, path);
  requireOptions(call, options);
  const formats: readonly unknown[] = IMAGE_FORMATS;
  const isRight = options.format === undefined || formats.includes(options.format);
  requireArgument(isRight, { call, name: 'format', value: options.format, expected: `one of ${IMAGE_FORMATS.join(', ')}` });
  requirePaths(call, 'allowDirectories', options.allowDirectories);
  requireSignal(call, options.signal);
}

/**
 * As `examineImage`, with the host's facts beside the report.
 *
 * Bounds: the memory of all tables under way together, see `examination-memory.ts`; a file with a writer is read three times
 * at most.
 */
export async function examineFile(path: string | Buffer, options: ExamineOptions = {}): Promise<Examined> {
  for (let attempt = 1; ; attempt += 1) {
    const examined = await withinMemory((tables) => examineWithin(path, options, tables), isShortOfMemory);
    if (attempt === MAX_ATTEMPTS || !isPerhapsTorn(examined)) return examined;
  }
}

/** A file with a writer is read so often before its tables count as damaged. */
const MAX_ATTEMPTS = 3;

/** QEMU moves tables while it writes: read before and after such a move, they contradict each other. */
function isPerhapsTorn({ report }: Examined): boolean {
  return report.openForWriting === true && report.error?.kind === 'corrupt';
}

function isShortOfMemory({ report, isShortOfMemory: isShort }: Examined): boolean {
  return isShort === true || report.error?.code === 'TABLE_MEMORY';
}

async function examineWithin(path: string | Buffer, options: ExamineOptions, tables: TableMemory): Promise<Examined> {
  const cache = options.cache ?? newHostCache();
  let file: OpenFile | undefined;
  let known: Omit<ImageReport, 'path'> = UNKNOWN;
  const named = options.formerPath ?? path;
  const shown = nameText(named);
  let exported: ExportKind | undefined;
  const rest = { holes: 0, isOther: false, lookedUp: NOTHING_LOOKED_UP };
  let facts: FileFacts | undefined;
  let filesystem: HostFilesystem | undefined;
  let unproven: UnprovenFile | undefined;
  const memory = cache.buffers.take(PREFIX_BYTES);
  try {
    options.signal?.throwIfAborted();
    file = await openImageFile(path, { cache, isLocal: options.isLocal === true });
    filesystem = await file.filesystem();
    facts = await file.facts();
    known = { ...UNKNOWN, length: facts.length, allocation: facts.allocation, openForWriting: facts.openForWriting ?? null };
    const device = metadataDevice(file.device, facts, memory, tables);
    const prefix = await readUpTo(facts.length <= SMALL_FILE_BYTES ? device : file.device, 0, PROBE_BYTES);
    const evidence = await gatherEvidence(file.device, prefix);
    const declared = options.rawFiles?.has(facts.identity) === true ? 'raw' : options.format;
    if (declared === undefined) unproven = unprovenFile(shown, facts, evidence, options);
    if (declared === undefined) exported = await exportKindOf(shown, prefix, file.device);
    if (options.discovered === true && declared === undefined && isOtherFile(evidence, shown, facts.length)) {
      const { holes, mapExcess } = exported === undefined ? holesOf(facts) : NO_HOLES;
      return { ...rest, report: { path: shown, ...known, mapExcess }, facts, filesystem, exported, isOther: true, holes };
    }
    const { format, source } = chooseFormat(evidence, declared, options.discovered === true);
    known = { ...known, format, formatSource: source };
    if (format === 'raw') return { ...rest, report: rawReport(shown, known, facts, prefix, options), facts, filesystem, exported };
    const {
      report: own,
      lookedUp,
      isShortOfMemory: isShort,
    } = format === 'qcow2'
      ? await qcow2Report(named, known, { file, device, facts }, { ...options, cache })
      : await otherReport(named, known, format, { file, device, facts }, { ...options, cache });
    const report = unproven === undefined ? own : withRawReading(own, unproven);
    return { ...rest, report, facts, filesystem, exported: exportKindOfReport(report), lookedUp, isShortOfMemory: isShort };
  } catch (thrown) {
    if (options.signal?.aborted === true) throw thrown;
    const error = asPlimsollError(thrown, 'read image', shown);
    if (unproven !== undefined && options.discovered === true) known = { ...known, ...rawReadingOf(unproven) };
    return { ...rest, report: { path: shown, ...known, error: error.toJSON() }, facts, filesystem, exported };
  } finally {
    cache.buffers.give(memory);
    await file?.close();
  }
}

/** A file that nobody declared and that has a signature, or a name that promises one. */
function unprovenFile(path: string, facts: FileFacts, evidence: readonly Evidence[], options: ExamineOptions): UnprovenFile {
  const wasRaw = options.onceRaw?.get(facts.identity) === facts.length;
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

function rawReport(
  path: string,
  known: Omit<ImageReport, 'path'>,
  facts: FileFacts,
  prefix: Uint8Array,
  options: ExamineOptions,
): ImageReport {
  const arithmetic = rawFigures(facts, options.reach);
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

interface OpenImage {
  readonly file: OpenFile;
  readonly device: ReadableDevice;
  readonly facts: FileFacts;
}

async function qcow2Report(
  path: string | Buffer,
  known: Omit<ImageReport, 'path'>,
  { file, device, facts }: OpenImage,
  options: ExamineOptions & { cache: HostCache },
): Promise<Pick<Examined, 'report' | 'lookedUp' | 'isShortOfMemory'>> {
  const header = await readQcow2Header(device);
  const census = await readCensus(device, header, options.signal);
  const details = detailsOf(header, census);
  const arithmetic = withTableMemory(device.memory, () => qcow2Figures(census, facts));
  const chain = await followChain(file, referencesOfQcow2(header), {
    path,
    allowDirectories: options.allowDirectories ?? [],
    cache: options.cache,
    tables: device.memory,
    signal: options.signal,
  });
  const report = combined(nameText(path), known, arithmetic, {
    findings: [...arithmetic.findings, ...chain.findings],
    chain: chain.links,
    details,
    error: chain.error?.toJSON(),
  });
  return { report, lookedUp: chain.lookedUp, isShortOfMemory: chain.isShortOfMemory };
}

async function otherReport(
  path: string | Buffer,
  known: Omit<ImageReport, 'path'>,
  format: OtherFormat,
  { file, device, facts }: OpenImage,
  options: ExamineOptions & { cache: HostCache },
): Promise<Pick<Examined, 'report' | 'lookedUp' | 'isShortOfMemory'>> {
  const { figures: counted, details, parent, references = NO_FILES } = await OTHER_FORMATS[format](device, facts, options.signal);
  const chain = await followChain(file, references, {
    path,
    allowDirectories: options.allowDirectories ?? [],
    cache: options.cache,
    tables: device.memory,
    signal: options.signal,
  });
  const findings = [...counted.findings, ...extentFindings(format, chain.links), ...chain.findings];
  const report = combined(nameText(path), known, counted, {
    findings: parent === undefined ? findings : [...findings, differencing(parent)],
    chain: chain.links,
    details,
    error: chain.error?.toJSON(),
  });
  return { report, lookedUp: chain.lookedUp, isShortOfMemory: chain.isShortOfMemory };
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
