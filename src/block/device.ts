/** Random access to bytes: one contract for files, disk images and the filters over them. */
import type { TableMemory } from './table-memory.ts';

/** zero: the image states that these bytes are zeros; unallocated: it states nothing, so they are zeros or the parent's. */
export type ExtentStatus = 'data' | 'zero' | 'unallocated';

/** A range of a device's bytes that have one origin. */
export interface Extent {
  readonly start: number;
  readonly end: number;
  readonly status: ExtentStatus;
  /** The image of the chain that holds it: 0 this one, 1 its parent, and so on. */
  readonly depth: number;
  /** The bytes are stored compressed. */
  readonly compressed: boolean;
  /** Where the bytes begin in that image's file (or its data file); undefined where they are not stored, not stored as read, or unknown. */
  readonly fileOffset: number | undefined;
}

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Random access to bytes. All methods may run concurrently, in any order. Offsets are whole numbers in [0, 2^53). */
export interface ReadableDevice extends AsyncDisposable {
  /** Bytes that can be read, at offsets in [0, byteLength). Of a disk image: its capacity. */
  readonly byteLength: number;
  /** Bounds the memory of structures that parsers make of the device's tables; undefined: the formats' own bounds only. */
  readonly memory?: TableMemory | undefined;
  /**
   * Fills `target` with the bytes from `offset` on; returns how many, fewer than its length only where the device ends. The
   * rest of `target` stays as it is, and the device keeps no reference to it.
   *
   * Rejects: io, corrupt, over-budget; the signal's reason.
   */
  read(target: Uint8Array, offset: number, options?: ReadOptions): Promise<number>;
  /**
   * The bytes [offset, offset + length) if they are in memory already, without a copy: not to be changed, and valid as long
   * as that memory is. undefined: read them. Devices without such memory leave this method out.
   */
  peek?(offset: number, length: number): Uint8Array | undefined;
  /**
   * Extents that cover [offset, offset + length) as far as the device reaches: ascending, disjoint; neighbours differ in
   * something or do not continue each other.
   *
   * Rejects: corrupt, io, over-budget; the signal's reason.
   */
  extents(offset: number, length: number, options?: ReadOptions): AsyncIterable<Extent>;
}

/** Limits and abilities of a writable device. Units: bytes. */
export interface WriteLimits {
  /** Offsets and lengths of writes are multiples of it. */
  readonly blockSize: number;
  /** `discard` does more than nothing. */
  readonly canDiscard: boolean;
  /** `writeZeroes` costs less than writing zeros. */
  readonly canWriteZeroes: boolean;
}

/** Writes lie within [0, byteLength); those that overlap are not to run concurrently. */
export interface WritableDevice extends ReadableDevice {
  readonly limits: WriteLimits;
  /** Rejects: invalid, when it reaches past the end; io. */
  write(source: Uint8Array, offset: number): Promise<void>;
  /** The range reads as zeros. `mayUnmap`: its storage may be released. */
  writeZeroes(offset: number, length: number, options?: { readonly mayUnmap?: boolean }): Promise<void>;
  /** The content is not needed any more: the range reads as before or as zeros. */
  discard(offset: number, length: number): Promise<void>;
  /** Returns when all writes that were completed before are durable. */
  flush(): Promise<void>;
}

/** The parts of a device; `readableDevice` supplies those that are left out. */
export interface DeviceParts extends Pick<ReadableDevice, 'byteLength' | 'read' | 'memory' | 'peek'> {
  /** Left out: one extent of data, whose place is unknown. */
  readonly extents?: ReadableDevice['extents'] | undefined;
  /** Left out: there is nothing to release. */
  readonly dispose?: (() => Promise<void>) | undefined;
}

/** A device made of its parts. */
export function readableDevice({ dispose, extents, ...parts }: DeviceParts): ReadableDevice {
  return {
    ...parts,
    extents: extents ?? ((offset, length, options) => wholeExtent(parts.byteLength, offset, length, options)),
    [Symbol.asyncDispose]: () => dispose?.() ?? Promise.resolve(),
  };
}

/** A filter over `device`, which supplies what `parts` leaves out; without a `peek` of the filter, all bytes go through its `read`. */
export function filterDevice(device: ReadableDevice, parts: Pick<DeviceParts, 'read' | 'peek'>): ReadableDevice {
  return readableDevice({
    byteLength: device.byteLength,
    memory: device.memory,
    extents: (offset, length, options) => device.extents(offset, length, options),
    dispose: async () => device[Symbol.asyncDispose](),
    ...parts,
  });
}

/** A device of bytes in memory. */
export function memoryDevice(content: Uint8Array): ReadableDevice {
  return readableDevice({
    byteLength: content.byteLength,
    peek: (offset, length) => content.subarray(offset, offset + length),
    read(target, offset, options) {
      if (options?.signal?.aborted === true) return Promise.reject(options.signal.reason);
      const bytes = content.subarray(offset, offset + target.byteLength);
      target.set(bytes);
      return Promise.resolve(bytes.byteLength);
    },
  });
}

async function* wholeExtent(byteLength: number, offset: number, length: number, options?: ReadOptions): AsyncGenerator<Extent> {
  options?.signal?.throwIfAborted();
  const end = Math.min(offset + length, byteLength);
  if (offset < end) yield { start: offset, end, status: 'data', depth: 0, compressed: false, fileOffset: undefined };
}
