/**
 * An image path becomes figures: the host opens the file and states its facts here; its content is examined by an `Examiner`, in a
 * confined worker or inline.
 */
import { asPlimsollError, requireArgument, requireOptions, requirePath, requirePaths, requireSignal, PlimsollError } from '#base';
import type { FileFacts, TableMemory } from '#block';
import { type HostCache, type HostFilesystem, nameText, newHostCache, type OpenFile, openImageFile } from '#host';
import { PREFIX_BYTES, referencesOf } from '#references';
import { IMAGE_FORMATS, type ImageFormat, type ImageReport } from '#wire';
import type { KnownGrowth } from './commit-growth.ts';
import { examineContent, type ExaminedContent, type ImageFile, knownByFacts, UNKNOWN } from './examine-content.ts';
import type { Examiner, OpenedImage } from './examiner.ts';
import { withinMemory } from './examination-memory.ts';

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
  /** Where the content is examined; inline when left out. */
  readonly examiner?: Examiner | undefined;
}

/** An image, its report, and what a scan needs besides. */
export interface Examined extends ExaminedContent {
  /** undefined when the file could not even be opened. */
  readonly facts: FileFacts | undefined;
  readonly filesystem: HostFilesystem | undefined;
}

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
  const named = options.formerPath ?? path;
  const shownPath = nameText(named);
  let known = UNKNOWN;
  let file: OpenFile | undefined;
  let facts: FileFacts | undefined;
  let filesystem: HostFilesystem | undefined;
  try {
    options.signal?.throwIfAborted();
    file = await openImageFile(path, { cache, isLocal: options.isLocal === true });
    filesystem = await file.filesystem();
    facts = await file.facts();
    known = knownByFacts(facts);
    const image: ImageFile = {
      path: Buffer.from(named),
      shownPath,
      facts,
      declared: options.rawFiles?.has(facts.identity) === true ? 'raw' : options.format,
      discovered: options.discovered === true,
      wasRaw: options.onceRaw?.get(facts.identity) === facts.length,
      reach: options.reach,
    };
    const opened: OpenedImage = {
      image,
      file,
      openReference: referencesOf(file, { allowDirectories: options.allowDirectories ?? [], cache }),
      tables,
      cache,
      signal: options.signal,
    };
    const content = await (options.examiner ?? INLINE).examine(opened);
    return { ...content, facts, filesystem };
  } catch (thrown) {
    if (options.signal?.aborted === true) throw thrown;
    const error = asPlimsollError(thrown, 'read image', shownPath);
    const report = { path: shownPath, ...known, error: error.toJSON() };
    return { report, facts, filesystem, exported: undefined, isOther: false, holes: 0, lookedUp: [] };
  } finally {
    await file?.close();
  }
}

/** In this process: of a single image that the caller names, and where a person chose it. */
const INLINE: Examiner = {
  async examine({ image, file, openReference, tables, cache, signal }) {
    const memory = cache.buffers.take(PREFIX_BYTES);
    const knownGrowth = KNOWN_GROWTH.get(cache) ?? new Map<string, never>();
    KNOWN_GROWTH.set(cache, knownGrowth);
    try {
      return await examineContent(image, { device: file.device, memory, tables, open: openReference, knownGrowth, signal });
    } finally {
      cache.buffers.give(memory);
    }
  },
};

const KNOWN_GROWTH = new WeakMap<HostCache, KnownGrowth>();
