/** Executes a plan on an open, empty file: metadata, then storage for the data, then the length. */
import { PlimsollError } from '#base';
import { allocateSpace, filesystemOf, setLength, writeAll } from '#host';
import { type FileChunk, type NewBacking, newQcow2Chunks, type NewQcow2Plan, type Preallocation, zeroChunks } from '#formats';
import type { NewRawPlan } from './new-raw.ts';

/** Adjacent chunks are written together up to this size: small clusters would cost a system call each. */
const MAX_WRITE_BYTES = 1024 * 1024;

export interface WriteOptions {
  readonly signal?: AbortSignal;
  /** Bytes that preallocation reserves or writes. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/** Throws: io; the signal's reason. The file is then incomplete. */
export async function writeQcow2(fd: number, plan: NewQcow2Plan, backing: NewBacking | undefined, options: WriteOptions): Promise<void> {
  await writeChunks(fd, newQcow2Chunks(plan, backing), options);
  const isHere = plan.options.dataFile === undefined;
  if (isHere && plan.data.length > 0 && plan.preallocation !== 'metadata') await preallocateData(fd, plan, options);
  await setLength(fd, plan.length);
}

/** Throws: io; the signal's reason. The file is then incomplete. */
export async function writeRaw(fd: number, plan: NewRawPlan, preallocation: Preallocation, options: WriteOptions): Promise<void> {
  if (preallocation === 'falloc' || preallocation === 'full') await preallocate(fd, preallocation, 0, plan.storedLength, options);
  else await writeChunks(fd, zeroChunks(0, plan.storedLength), options);
  await setLength(fd, plan.length);
}

/** With falloc and full the data is one range. */
async function preallocateData(fd: number, plan: NewQcow2Plan, options: WriteOptions): Promise<void> {
  const { clusterSize } = plan.geometry;
  const { hostCluster, clusterCount } = plan.data.at(0);
  await preallocate(fd, plan.preallocation, hostCluster * clusterSize, clusterCount * clusterSize, options);
}

async function preallocate(fd: number, mode: Preallocation, fileOffset: number, byteLength: number, options: WriteOptions): Promise<void> {
  if (byteLength === 0) return;
  await refuseWithoutRoom(fd, byteLength);
  const { signal, onProgress } = options;
  if (mode === 'falloc' && (await reserve(fd, fileOffset, byteLength, options))) return;
  let done = 0;
  for (const chunk of zeroChunks(fileOffset, byteLength)) {
    signal?.throwIfAborted();
    await writeAll(fd, chunk.bytes, chunk.fileOffset);
    done += chunk.bytes.byteLength;
    onProgress?.(done, byteLength);
  }
}

/** Before the first byte: filling the filesystem and then giving up would harm every guest on it meanwhile. */
async function refuseWithoutRoom(fd: number, byteLength: number): Promise<void> {
  const { available, size } = await filesystemOf(fd);
  if (size === 0 || byteLength <= available) return;
  throw new PlimsollError('io', 'NO_ROOM', {
    doing: 'preallocate image',
    found: `${available} bytes available`,
    expected: `${byteLength} bytes`,
  });
}

/** False without such a system call: writing zeros has the same effect, only slower, as in the C library. */
async function reserve(fd: number, fileOffset: number, byteLength: number, { signal, onProgress }: WriteOptions): Promise<boolean> {
  try {
    await allocateSpace(fd, fileOffset, byteLength, {
      ...(signal === undefined ? {} : { signal }),
      onProgress: (done) => onProgress?.(done, byteLength),
    });
    return true;
  } catch (error) {
    if (error instanceof PlimsollError && error.code === 'NO_FALLOCATE') return false;
    throw error;
  }
}

async function writeChunks(fd: number, chunks: Iterable<FileChunk>, { signal }: WriteOptions): Promise<void> {
  const gathered = Buffer.alloc(MAX_WRITE_BYTES);
  let start = 0;
  let length = 0;
  const flush = async (): Promise<void> => {
    if (length > 0) await writeAll(fd, gathered.subarray(0, length), start);
    length = 0;
  };
  for (const { fileOffset, bytes } of chunks) {
    signal?.throwIfAborted();
    if (fileOffset !== start + length || length + bytes.byteLength > MAX_WRITE_BYTES) {
      await flush();
      start = fileOffset;
    }
    gathered.set(bytes, length);
    length += bytes.byteLength;
  }
  await flush();
}
