/**
 * The guest's disk of an image, backing files and snapshots included, for programs that read it. Its tables are parsed in a
 * confined process of its own, which lives until the image is closed.
 */
import { MiB, PlimsollError, requireArgument, requireOptions, requirePath, requirePaths, requireSignal } from '#base';
import type { Extent, ReadableDevice, ReadOptions } from '#block';
import {
  type ConfinedRequest,
  type GrantedFile,
  type Limits,
  type OnFileRequest,
  protocolError,
  type RequestOptions,
  WorkerSession,
} from '#confined';
import { newHostCache, type OpenFile, openImageFile } from '#host';
import { openContent, referencesOf } from '#references';
import { IMAGE_FORMATS, type ImageFormat } from '#wire';
import { grantReference } from './confined-examiner.ts';
import type { ContentRange, OpenContentParams } from './content-handlers.ts';
import { REFERENCE } from './examine-handler.ts';
import { unpackExtents } from './extent-rows.ts';
import { packFacts } from './facts-frame.ts';

export interface OpenImageOptions {
  /** The declared format; without it a signature decides, and raw is a guess. */
  readonly format?: ImageFormat | undefined;
  /** Id or name of the internal snapshot of a qcow2 image to read. Left out: the current state of the disk. */
  readonly snapshot?: string | undefined;
  /** Further directories in which backing and data files may be opened. */
  readonly allowDirectories?: readonly string[] | undefined;
  /** Parses the image in the calling process. */
  readonly unconfined?: boolean | undefined;
  /** Ends the opening; later calls take their own. */
  readonly signal?: AbortSignal | undefined;
}

/** An open image: the bytes and extents of the guest's disk. */
export interface OpenedDisk extends ReadableDevice {
  readonly path: string;
  readonly format: ImageFormat;
}

/** By the clock for one request; a disk may be read for days. */
const LIMITS: Partial<Limits> = { cpuSeconds: 7 * 86_400 };
/** Bytes of one request. */
const MAX_READ_BYTES = 4 * MiB;
/** The files of a VMDK with the most extents, and a backing chain. */
const MAX_FILES = 4200;

/**
 * Opens the guest's disk of the image at `path` for reading. Dispose of it (`await using`, or `[Symbol.asyncDispose]()`): until
 * then a worker process and the image's files stay open.
 *
 * An image that a guest writes meanwhile can read as any mixture of old and new bytes, or fail as corrupt.
 *
 * Throws: usage; not-found, io, corrupt, over-budget; unsupported, also for encrypted images and where no confined process can be
 * created (SANDBOX_UNAVAILABLE); refused, for references that the policy does not allow; the signal's reason.
 *
 * @example
 * await using disk = await openImage('/srv/vm/disk.qcow2', { format: 'qcow2' });
 * const sector = new Uint8Array(512);
 * await disk.read(sector, 0);
 * for await (const { start, end, status } of disk.extents(0, disk.byteLength)) console.log(start, end, status);
 */
export async function openImage(path: string | Buffer, options: OpenImageOptions = {}): Promise<OpenedDisk> {
  checkArguments(path, options);
  const cache = newHostCache();
  const file = await openImageFile(path, { cache });
  try {
    const open = referencesOf(file, { allowDirectories: options.allowDirectories ?? [], cache });
    return await (options.unconfined === true ? openInline(path, file, open, options) : openConfined(path, file, open, options));
  } catch (error) {
    await file.close();
    throw error;
  }
}

function checkArguments(path: unknown, options: OpenImageOptions): void {
  const call = 'openImage()';
  requirePath(call, path);
  requireOptions(call, options);
  const { format, snapshot } = options;
  const formats: readonly unknown[] = IMAGE_FORMATS;
  const isFormat = format === undefined || formats.includes(format);
  requireArgument(isFormat, { call, name: 'format', value: format, expected: `one of ${IMAGE_FORMATS.join(', ')}` });
  const isName = snapshot === undefined || typeof snapshot === 'string';
  requireArgument(isName, { call, name: 'snapshot', value: snapshot, expected: 'the id or name of a snapshot' });
  requirePaths(call, 'allowDirectories', options.allowDirectories);
  requireSignal(call, options.signal);
}

type OpenReferenceFile = (path: Buffer) => Promise<OpenFile>;

async function openInline(path: string | Buffer, file: OpenFile, open: OpenReferenceFile, options: OpenImageOptions): Promise<OpenedDisk> {
  const { format, snapshot, signal } = options;
  const shownPath = file.path;
  const content = await openContent(file, { path: Buffer.from(path), shownPath, format, snapshot, open, purpose: 'bytes', signal });
  const { device } = content;
  return {
    path: shownPath,
    format: content.format,
    byteLength: device.byteLength,
    read: (target, offset, readOptions) => device.read(target, offset, readOptions),
    extents: (offset, length, readOptions) => device.extents(offset, length, readOptions),
    [Symbol.asyncDispose]: async () => {
      await content[Symbol.asyncDispose]();
      await file.close();
    },
  };
}

async function openConfined(
  path: string | Buffer,
  file: OpenFile,
  open: OpenReferenceFile,
  options: OpenImageOptions,
): Promise<OpenedDisk> {
  const facts = await file.facts();
  const { frame, data } = packFacts(facts);
  const { format = null, snapshot = null, signal } = options;
  const params: OpenContentParams = { path: Buffer.from(path).toString('latin1'), shownPath: file.path, facts: frame, format, snapshot };
  const session = await WorkerSession.start({ limits: LIMITS });
  try {
    const disk = new ConfinedDisk(session, file, open);
    await disk.open({ name: 'open-content', params, data }, { files: [{ fd: file.fd, byteLength: facts.length }], signal });
    return disk;
  } catch (error) {
    await session.close();
    throw error;
  }
}

class ConfinedDisk implements OpenedDisk {
  readonly path: string;
  readonly #session: WorkerSession;
  readonly #file: OpenFile;
  readonly #openReference: OpenReferenceFile;
  #format: ImageFormat = 'raw';
  #byteLength = 0;
  #fileCount = 0;

  constructor(session: WorkerSession, file: OpenFile, openReference: OpenReferenceFile) {
    this.path = file.path;
    this.#session = session;
    this.#file = file;
    this.#openReference = openReference;
  }

  get format(): ImageFormat {
    return this.#format;
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  async open(request: ConfinedRequest, options: RequestOptions): Promise<void> {
    const answer = (await this.#exchange(request, options)) as { readonly format?: unknown; readonly byteLength?: unknown } | null;
    const format = IMAGE_FORMATS.find((one) => one === answer?.format);
    const byteLength = answer?.byteLength;
    if (format === undefined || !isCount(byteLength)) throw protocolError('an opened image without format or length');
    this.#format = format;
    this.#byteLength = byteLength;
  }

  async read(target: Uint8Array, offset: number, options?: ReadOptions): Promise<number> {
    const wanted = Math.max(0, Math.min(target.byteLength, this.#byteLength - offset));
    let count = 0;
    while (count < wanted) {
      const length = Math.min(MAX_READ_BYTES, wanted - count);
      await this.#readInto(target.subarray(count, count + length), offset + count, options?.signal);
      count += length;
    }
    options?.signal?.throwIfAborted();
    return wanted;
  }

  async *extents(offset: number, length: number, options?: ReadOptions): AsyncGenerator<Extent> {
    const stop = Math.min(offset + length, this.#byteLength);
    for (let at = offset; at < stop; ) {
      const range: ContentRange = { offset: at, length: stop - at };
      const parts: Uint8Array[] = [];
      const onPart = (_: unknown, data: Uint8Array): void => void parts.push(data);
      const end = await this.#until(options?.signal, this.#exchange({ name: 'content-extents', params: range }, { onPart }));
      const extents = parts.length === 1 ? unpackExtents(parts[0] as Uint8Array, at, stop) : [];
      if (end !== extents.at(-1)?.end) throw protocolError('extents that do not cover their range');
      yield* extents;
      at = end as number;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.close();
    await this.#file.close();
  }

  /** All of `target`, which after an abort is not touched any more. */
  async #readInto(target: Uint8Array, offset: number, signal: AbortSignal | undefined): Promise<void> {
    const range: ContentRange = { offset, length: target.byteLength };
    let count = 0;
    const onPart = (_: unknown, data: Uint8Array): void => {
      if (count + data.byteLength > range.length) throw protocolError('more bytes than were to be read');
      if (signal?.aborted !== true) target.set(data, count);
      count += data.byteLength;
    };
    const answer = await this.#until(signal, this.#exchange({ name: 'read-content', params: range }, { onPart }));
    if (answer !== range.length || count !== range.length) throw protocolError('fewer bytes than there are');
  }

  /** An abort is not sent to the worker, which would end the session: its answer is ignored. */
  async #until<T>(signal: AbortSignal | undefined, answer: Promise<T>): Promise<T> {
    if (signal === undefined) return answer;
    // Handled here if the race is lost.
    answer.catch(() => {});
    signal.throwIfAborted();
    let onAbort = (): void => {};
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(signal.reason as Error);
      signal.addEventListener('abort', onAbort, { once: true });
    });
    try {
      return await Promise.race([answer, aborted]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #exchange(request: ConfinedRequest, options: RequestOptions): Promise<unknown> {
    const onFileRequest: OnFileRequest = (named) => this.#grant(named);
    const outcome = await this.#session.exchange(request, {
      ...options,
      keepsFiles: true,
      maxFiles: MAX_FILES,
      onFileRequest,
      image: this.path,
    });
    if (outcome.type === 'value') return outcome.value;
    throw outcome.error;
  }

  async #grant({ name, role }: { readonly name: Uint8Array; readonly role: string }): Promise<GrantedFile> {
    if (role !== REFERENCE) throw protocolError('a file request of an unknown role');
    this.#fileCount += 1;
    if (this.#fileCount > MAX_FILES) {
      const expected = `at most ${MAX_FILES} files`;
      throw new PlimsollError('over-budget', 'WORKER_FILES', { doing: 'read guest data', image: this.path, found: 'more files', expected });
    }
    return grantReference(await this.#openReference(Buffer.from(name)));
  }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
