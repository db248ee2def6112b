/**
 * Compressed clusters: their data read together where it lies together, each decompressed within one cluster's bounds.
 * Source: qcow2 spec, "Compressed Clusters Descriptor", header byte 104 compression_type.
 */
import { type ErrorValue, PlimsollError } from '#base';
import { type ReadableDevice, readUpTo } from '#block';
import { inflate, loadZstd } from '#codec';
import type { Header } from '../header.ts';
import type { MappedRun } from './mapping.ts';

export type CompressedRun = Extract<MappedRun, { kind: 'compressed' }>;

/** Compressed data that is read at once. */
const READ_BYTES = 1024 * 1024;

const DOING = 'read qcow2 compressed cluster';

export class CompressedData {
  readonly #device: ReadableDevice;
  readonly #header: Header;
  /** The cluster decompressed last: reads smaller than a cluster come back to it. */
  #last: { readonly hostOffset: number; readonly byteLength: number; readonly content: Uint8Array } | undefined;

  constructor(device: ReadableDevice, header: Header) {
    this.#device = device;
    this.#header = header;
  }

  /** Whether the data of `next` begins in that of `group` or right behind it, and can be read with it. */
  static belongs(group: readonly CompressedRun[], next: CompressedRun): boolean {
    const [first, last] = [group[0], group.at(-1)];
    if (first === undefined || last === undefined) return true;
    if (next.hostOffset < last.hostOffset || next.hostOffset > last.hostOffset + last.byteLength) return false;
    return next.hostOffset + next.byteLength - first.hostOffset <= READ_BYTES;
  }

  /** The content of one cluster if it is at hand: one cluster long. */
  known({ hostOffset, byteLength }: CompressedRun): Uint8Array | undefined {
    const last = this.#last;
    return last?.hostOffset === hostOffset && last.byteLength === byteLength ? last.content : undefined;
  }

  /**
   * Gives the content of each cluster of `group`, which belong together, to `use`: one cluster long, not to be changed.
   *
   * Throws: corrupt, when data lies behind the file, is damaged, or stands for anything but one cluster; io, over-budget.
   */
  async read(group: readonly CompressedRun[], use: (run: CompressedRun, content: Uint8Array) => void): Promise<void> {
    const start = group[0]?.hostOffset ?? 0;
    const end = group.reduce((most, run) => Math.max(most, run.hostOffset + run.byteLength), start);
    const { byteLength } = this.#device;
    if (start >= byteLength)
      throw wrong('QCOW2_COMPRESSED_OFFSET', start, `0x${start.toString(16)}`, `inside the file of ${byteLength} bytes`);
    // The last sectors may reach behind the end of the file.
    const data = await readUpTo(this.#device, start, Math.min(end, byteLength) - start);
    const decompress = await this.#decompressor();
    for (const run of group) {
      use(run, this.known(run) ?? this.#decompressed(run, data.subarray(run.hostOffset - start), decompress));
    }
  }

  #decompressed(run: CompressedRun, data: Uint8Array, decompress: Decompress): Uint8Array {
    const { clusterSize } = this.#header;
    const { hostOffset, byteLength } = run;
    const content = decompress(data.subarray(0, byteLength), { mostBytes: clusterSize, doing: DOING, at: hostOffset });
    if (content.byteLength !== clusterSize)
      throw wrong('QCOW2_COMPRESSED_LENGTH', hostOffset, `${content.byteLength} bytes decompressed`, `one cluster of ${clusterSize} bytes`);
    this.#last = { hostOffset, byteLength, content };
    return content;
  }

  async #decompressor(): Promise<Decompress> {
    return this.#header.compressionType === 'zstd' ? loadZstd() : inflateRaw;
  }
}

interface DecompressOptions {
  readonly mostBytes: number;
  readonly doing: string;
  readonly at: number;
}

type Decompress = (data: Uint8Array, options: DecompressOptions) => Uint8Array;

function inflateRaw(data: Uint8Array, { mostBytes, doing, at }: DecompressOptions): Uint8Array {
  return inflate(data, { wrapping: 'raw', mostBytes, doing, at });
}

function wrong(code: string, at: number, found: ErrorValue, expected: string): PlimsollError {
  return new PlimsollError('corrupt', code, { doing: DOING, field: 'compressed data', at, found, expected });
}
