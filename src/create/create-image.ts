/**
 * `plimsoll create`: a new image that appears under its name only when it is complete. Whatever happens before, nothing
 * stays behind, and nothing that exists is overwritten.
 */
import { rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { PlimsollError, requireArgument, requireOptions, requireSignal } from '#base';
import {
  createTemporary,
  trimSpeculativePreallocation,
  filesystemOf,
  largestFileOf,
  markNoCow,
  ownFileSizeLimit,
  type TemporaryFile,
} from '#host';
import { readBacking } from './backing.ts';
import {
  type BackingChoice,
  type CreateOptions,
  type NewImageFormat,
  type Qcow2Options,
  refuseWithBacking,
  requireOptionsOf,
} from './create-options.ts';
import { refuseEncryption } from './luks-header.ts';
import { type NewQcow2Plan, planNewQcow2 } from '#formats';
import { measureNew } from './measure-new.ts';
import { planNewRaw } from './new-raw.ts';
import type { Finding } from '#wire';
import { type WriteOptions, writeQcow2, writeRaw } from './write-image.ts';

export interface CreateRequest extends WriteOptions {
  readonly path: string;
  readonly format: NewImageFormat;
  /** Bytes the guest is to see, rounded up to 512; an overlay takes its backing file's when it is left out. */
  readonly capacity?: number;
  /** From `parseCreateOptions`. */
  readonly options: CreateOptions;
  readonly backing?: BackingChoice;
  /** Create it although the filesystem's file size limit is below its maximum length. */
  readonly overcommit?: boolean;
  /** Called with the capacity once it is known and before anything is written; an error it throws ends the creation. */
  readonly beforeWriting?: (capacity: number) => Promise<void>;
}

export interface CreatedImage {
  readonly path: string;
  readonly capacity: number;
  readonly length: number;
  /** Findings about its backing file. */
  readonly findings: readonly Finding[];
}

/**
 * Makes the image. `onProgress` is called with the bytes that preallocation has reserved or written, and all of them.
 *
 * Throws: conflict (FILE_EXISTS), when the image or its data file exists; usage, for options that do not fit together;
 * unsupported, for encryption; io, NO_ROOM, when preallocation would not fit, FILE_TOO_LARGE, when the filesystem ends files before it is full; not-found, io, refused, corrupt, concerning the backing file; the signal's reason.
 */
export async function createImage(request: CreateRequest): Promise<CreatedImage> {
  const call = 'createImage()';
  requireOptions(call, request, 'request');
  const { options } = request;
  requireOptionsOf(call, request.format, options);
  requireArgument(typeof request.path === 'string', { call, name: 'path', value: request.path, expected: 'a string' });
  requireSignal(call, request.signal);
  request.signal?.throwIfAborted();
  try {
    return await (options.format === 'raw' ? createRaw(request, options.preallocation) : createQcow2(request, options));
  } catch (thrown) {
    throw named(thrown, request.path);
  }
}

/** Errors on a descriptor lack the file's name, which the message needs. */
function named(thrown: unknown, path: string): unknown {
  if (!(thrown instanceof PlimsollError) || thrown.kind !== 'io' || thrown.where.image !== undefined) return thrown;
  return new PlimsollError(thrown.kind, thrown.code, { ...thrown.where, image: path });
}

async function createRaw(request: CreateRequest, preallocation: 'off' | 'falloc' | 'full'): Promise<CreatedImage> {
  if (request.backing !== undefined) {
    throw new PlimsollError('usage', 'RAW_BACKING', {
      doing: 'create an overlay',
      found: 'format raw',
      expected: 'qcow2: raw cannot have a backing file',
    });
  }
  const plan = planNewRaw(checkedCapacity(request.capacity), preallocation);
  refuseBeyondOwnLimit(plan.length);
  await request.beforeWriting?.(plan.length);
  await using file = await createTemporary(request.path);
  await refuseTooLong(file.fd, plan.length, request);
  await prepare(file.fd, request.options);
  await writeRaw(file.fd, plan, preallocation, request);
  request.signal?.throwIfAborted();
  await file.publish();
  return { path: request.path, capacity: plan.length, length: plan.length, findings: [] };
}

async function createQcow2(request: CreateRequest, options: Qcow2Options): Promise<CreatedImage> {
  refuseEncryption(options.encryption);
  const backing = request.backing ?? options.backing;
  if (backing !== undefined) refuseWithBacking(options.qcow2);
  // Read even when a capacity is given: an overlay on a missing or different file is useless.
  const rests = backing === undefined ? undefined : await readBacking(request.path, backing);
  const plan = planNewQcow2(options.qcow2, checkedCapacity(request.capacity ?? rests?.capacity));
  refuseBeyondOwnLimit(Math.max(plan.length, options.qcow2.dataFile === undefined ? 0 : plan.capacity));
  await request.beforeWriting?.(plan.capacity);
  await using image = await createTemporary(request.path);
  await refuseTooLong(image.fd, measureNew('qcow2', plan.capacity, options).maxLength, request);
  await using dataFile = await createDataFile(request, plan);
  await prepare(image.fd, options);
  await writeQcow2(image.fd, plan, backing === undefined ? undefined : { file: backing.name, format: backing.format }, request);
  request.signal?.throwIfAborted();
  await publishBoth(image, dataFile);
  return { path: request.path, capacity: plan.capacity, length: plan.length, findings: rests?.findings ?? [] };
}

/** Attributes that can only be set on an empty file. */
async function prepare(fd: number, options: CreateOptions): Promise<void> {
  if (options.noCow) await markNoCow(fd);
  await trimSpeculativePreallocation(fd, await filesystemOf(fd));
}

function checkedCapacity(capacity: number | undefined): number {
  if (capacity !== undefined && Number.isSafeInteger(capacity) && capacity >= 0) return capacity;
  throw new PlimsollError('usage', 'CREATE_CAPACITY', {
    doing: 'create image',
    ...(capacity === undefined
      ? { found: 'no size', expected: 'a SIZE such as 40G' }
      : { field: 'capacity', found: capacity, expected: 'a whole number of bytes, below 8 PiB' }),
  });
}

interface DataFile extends TemporaryFile {
  readonly path: string;
}

/**
 * The external data file, complete but unnamed. Its recorded name is relative to the image's directory: there QEMU looks
 * for it later (only `qemu-img create` itself takes it from its own working directory).
 */
async function createDataFile(request: CreateRequest, plan: NewQcow2Plan): Promise<DataFile | undefined> {
  const name = plan.options.dataFile;
  if (name === undefined) return undefined;
  const path = resolve(dirname(request.path), name);
  if (path === resolve(request.path)) {
    throw new PlimsollError('usage', 'OPTION_VALUE', {
      doing: 'parse -o',
      field: 'data_file',
      found: name,
      expected: 'another file than the image',
    });
  }
  const file = await createTemporary(path);
  try {
    await refuseTooLong(file.fd, plan.capacity, request);
    await prepare(file.fd, request.options);
    await writeRaw(file.fd, planNewRaw(plan.capacity, plan.preallocation), plan.preallocation, request);
    return { ...file, path };
  } catch (error) {
    await file.discard();
    throw error;
  }
}

/** Before the first byte: an image whose guest can outgrow the file size limit fails when it is nearly full. */
async function refuseTooLong(fd: number, maxLength: number, { overcommit }: CreateRequest): Promise<void> {
  const largest = overcommit === true ? undefined : await largestFileOf(fd);
  if (largest === undefined || maxLength <= largest) return;
  throw new PlimsollError('io', 'FILE_TOO_LARGE', {
    doing: 'create image',
    found: `up to ${maxLength} bytes when it is full`,
    expected: `at most ${largest} bytes, the largest file of this filesystem`,
  });
}

/** Before creation: a longer file would end this process by SIGXFSZ and leave a part behind. */
function refuseBeyondOwnLimit(length: number): void {
  const limit = ownFileSizeLimit();
  if (limit === undefined || length <= limit) return;
  throw new PlimsollError('io', 'FILE_SIZE_LIMIT', {
    doing: 'create image',
    found: `a file of ${length} bytes`,
    expected: `at most ${limit} bytes, which this process may write to a file (RLIMIT_FSIZE)`,
  });
}

/** The data file first: an image without its data file must never be visible. */
async function publishBoth(image: TemporaryFile, dataFile: DataFile | undefined): Promise<void> {
  await dataFile?.publish();
  try {
    await image.publish();
  } catch (error) {
    if (dataFile !== undefined) await rm(dataFile.path, { force: true });
    throw error;
  }
}
