/** The guest's disk of a flat or split VMDK: its extent files, one after the other. */
import { PlimsollError } from '#base';
import { type Extent, type ReadableDevice, type ReadOptions, sliceDevice } from '#block';
import { openRaw, openVmdkExtent, type SplitDisk } from '#formats';
import { metadataDevice } from './metadata-device.ts';
import type { ReferenceResolver } from './resolver.ts';

export interface ExtentFileAccess {
  /** As the kernel takes it: extent files are named relative to it. */
  readonly descriptorPath: Buffer;
  /** Of the descriptor in its chain. */
  readonly depth: number;
  readonly resolver: ReferenceResolver;
  /** As in ContentOptions. */
  readonly purpose: 'extents' | 'bytes';
}

type Piece = SplitDisk['pieces'][number] & { readonly start: number };

interface OpenPiece {
  readonly device: ReadableDevice;
  close(): Promise<void>;
}

interface HeldPiece {
  readonly opening: Promise<OpenPiece>;
  users: number;
}

/** A disk can have thousands of extent files. */
const MAX_OPEN_FILES = 16;

/**
 * Extent files are opened when they are needed, and the last used stay open.
 *
 * Throws: refused, for a disk with a parent. Reads and extents reject with the refusal of the reference policy, not-found, io;
 * corrupt, unsupported, over-budget, for a sparse extent.
 */
export class SplitDiskDevice implements ReadableDevice {
  readonly byteLength: number;
  readonly #pieces: readonly Piece[];
  readonly #access: ExtentFileAccess;
  /** By index, the last used at the end. */
  readonly #held = new Map<number, HeldPiece>();

  constructor(disk: SplitDisk, access: ExtentFileAccess) {
    if (disk.parent !== undefined) {
      throw new PlimsollError('refused', 'VMDK_PARENT', {
        doing: 'read guest data',
        found: 'a differencing image',
        expected: 'an image without a parent',
      });
    }
    this.byteLength = disk.capacity;
    let start = 0;
    this.#pieces = disk.pieces.map((piece) => {
      const placed = { ...piece, start };
      start += piece.byteLength;
      return placed;
    });
    this.#access = access;
  }

  async read(target: Uint8Array, offset: number, options?: ReadOptions): Promise<number> {
    options?.signal?.throwIfAborted();
    const end = Math.min(offset + target.byteLength, this.byteLength);
    for (const [index, from, to] of this.#within(offset, end)) {
      const { start } = this.#pieces[index] as Piece;
      const part = target.subarray(from - offset, to - offset);
      const count = await this.#use(index, (device) => device.read(part, from - start, options));
      part.fill(0, count);
    }
    return Math.max(0, end - offset);
  }

  async *extents(offset: number, length: number, options?: ReadOptions): AsyncGenerator<Extent> {
    for (const [index, from, to] of this.#within(offset, Math.min(offset + length, this.byteLength))) {
      options?.signal?.throwIfAborted();
      const { start } = this.#pieces[index] as Piece;
      const held = this.#hold(index);
      try {
        const { device } = await held.opening;
        let at = from;
        for await (const one of device.extents(from - start, to - from, options)) {
          at = start + one.end;
          yield { ...one, start: start + one.start, end: at };
        }
        if (at < to) yield { start: at, end: to, status: 'zero', depth: 0, compressed: false, fileOffset: undefined };
      } finally {
        await this.#release(held);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const held = [...this.#held.values()];
    this.#held.clear();
    await Promise.all(held.map(closeHeld));
  }

  /** The pieces that lie in [start, end), each with its part of that range. */
  *#within(start: number, end: number): Generator<readonly [index: number, from: number, to: number]> {
    for (let index = this.#indexAt(start); index < this.#pieces.length; index += 1) {
      const piece = this.#pieces[index] as Piece;
      if (piece.start >= end) return;
      const from = Math.max(start, piece.start);
      const to = Math.min(end, piece.start + piece.byteLength);
      if (from < to) yield [index, from, to];
    }
  }

  /** Of the piece that contains `offset`. */
  #indexAt(offset: number): number {
    let [low, high] = [0, this.#pieces.length];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const { start, byteLength } = this.#pieces[middle] as Piece;
      if (start + byteLength <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  async #use<T>(index: number, use: (device: ReadableDevice) => Promise<T>): Promise<T> {
    const held = this.#hold(index);
    try {
      return await use((await held.opening).device);
    } finally {
      await this.#release(held);
    }
  }

  #hold(index: number): HeldPiece {
    const held = this.#held.get(index) ?? { opening: this.#open(this.#pieces[index] as Piece), users: 0 };
    held.users += 1;
    this.#held.delete(index);
    this.#held.set(index, held);
    held.opening.catch(() => {
      if (this.#held.get(index) === held) this.#held.delete(index);
    });
    return held;
  }

  async #release(held: HeldPiece): Promise<void> {
    held.users -= 1;
    for (const [index, one] of this.#held) {
      if (this.#held.size <= MAX_OPEN_FILES) return;
      if (one.users > 0) continue;
      this.#held.delete(index);
      await closeHeld(one);
    }
  }

  async #open({ file, byteLength, fileOffset }: Piece): Promise<OpenPiece> {
    if (file === undefined) return { device: ZEROS, close: () => Promise.resolve() };
    const { descriptorPath, depth, resolver, purpose } = this.#access;
    const { text: name, bytes: nameBytes } = file.name;
    const reference = { role: 'data', depth: depth + 1, name, nameBytes, format: null } as const;
    const { file: opened } = await resolver.openFile(descriptorPath, reference);
    try {
      const facts = await opened.facts();
      if (file.kind === 'flat') {
        return { device: sliceDevice(openRaw(opened.device, facts.map), fileOffset, byteLength), close: () => opened.close() };
      }
      const own = purpose === 'bytes' ? opened.device : metadataDevice(opened.device, facts);
      const { device } = await openVmdkExtent(own);
      return { device: sliceDevice(device, 0, byteLength), close: () => opened.close() };
    } catch (error) {
      await opened.close();
      throw error;
    }
  }
}

/** Zeros without a file: whatever lies past the end of a piece reads as zeros. */
const ZEROS: ReadableDevice = {
  byteLength: 0,
  read: () => Promise.resolve(0),
  async *extents() {},
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

async function closeHeld({ opening }: HeldPiece): Promise<void> {
  const opened = await opening.catch(() => undefined);
  await opened?.close();
}
