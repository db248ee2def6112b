/**
 * A qcow2 image as the guest sees it: its active state or an internal snapshot. Source: qcow2 spec, "Cluster mapping",
 * "Snapshots"; what is not said there follows QEMU 7.2.
 */
import { PlimsollError } from '#base';
import { type Extent, extentsBelow, type ReadableDevice, type ReadOptions } from '#block';
import { ExtentJoiner } from '../../join-extents.ts';
import { ClusterSet } from '../../clusters/index.ts';
import { CompressedData, type CompressedRun } from './compressed-data.ts';
import type { Header } from '../header.ts';
import { type L2Slice, type MappedRun, mapRun } from './mapping.ts';
import { type MappedState, MappingTables } from './mapping-tables.ts';
import { readSnapshotTable } from '../snapshot.ts';

const DOING = 'read qcow2 image';

export interface Qcow2Options {
  /** What the guest reads where the image says nothing, as far as it reaches; behind its end zeros. */
  readonly backing?: ReadableDevice | undefined;
  /** The external data file. */
  readonly dataFile?: ReadableDevice | undefined;
  /** Id or name of the internal snapshot to read instead of the active state; ids go before names, as in QEMU. */
  readonly snapshot?: string | undefined;
}

/**
 * The image in `device`, whose header is `header`, as its guest sees it. The names of backing and data file in the header are
 * not followed: the caller decides, and passes in the opened files.
 *
 * Without the backing file that the header names, reading what it would have to give is refused; everything else is read.
 *
 * Bounds: 1.25 MiB of tables are held, and one decompressed cluster; a read holds up to 1 MiB of compressed data besides, or one cluster's,
 * which can be two clusters long.
 * Throws: unsupported (encryption), refused (an external data file that was not handed in), not-found (no such snapshot),
 * corrupt; io, over-budget.
 */
export async function openQcow2(device: ReadableDevice, header: Header, options: Qcow2Options = {}): Promise<ReadableDevice> {
  if (header.encryption !== 'none')
    throw new PlimsollError('unsupported', 'QCOW2_ENCRYPTED', {
      doing: DOING,
      field: 'crypt_method',
      at: 32,
      found: header.encryption,
      expected: 'an image that is not encrypted',
    });
  if (header.externalDataFile && options.dataFile === undefined)
    throw new PlimsollError('refused', 'QCOW2_DATA_FILE_MISSING', {
      doing: DOING,
      field: 'external data file',
      found: header.dataFileName ?? 'no name',
      expected: 'the data file, opened and handed in',
    });
  const state = options.snapshot === undefined ? activeState(header) : await snapshotState(device, header, options.snapshot);
  return new Qcow2Image(device, header, state, options);
}

function activeState({ capacity, l1TableOffset, l1Size }: Header): MappedState {
  return { capacity, l1TableOffset, l1Size };
}

async function snapshotState(device: ReadableDevice, header: Header, wanted: string): Promise<MappedState> {
  const { snapshots } = await readSnapshotTable(device, header);
  const found = snapshots.find(({ id }) => id === wanted) ?? snapshots.find(({ name }) => name === wanted);
  if (found === undefined)
    throw new PlimsollError('not-found', 'QCOW2_SNAPSHOT_UNKNOWN', {
      doing: DOING,
      field: 'internal snapshot',
      found: wanted,
      expected: `the id or name of one of ${snapshots.length} snapshots`,
    });
  const { diskSize, l1TableOffset, l1Size } = found;
  const capacity = diskSize ?? header.capacity;
  if (!Number.isSafeInteger(capacity))
    throw new PlimsollError('corrupt', 'QCOW2_SNAPSHOT_TABLE', {
      doing: 'read qcow2 snapshot table',
      field: 'virtual disk size',
      found: capacity,
      expected: 'below 2^53',
    });
  return { capacity, l1TableOffset, l1Size };
}

class Qcow2Image implements ReadableDevice {
  readonly byteLength: number;
  readonly #header: Header;
  readonly #tables: MappingTables;
  readonly #compressed: CompressedData;
  /** Where normal clusters lie. */
  readonly #data: ReadableDevice;
  readonly #backing: ReadableDevice | undefined;
  readonly #fileLength: number;
  /** What disposing of the image disposes of. */
  readonly #opened: readonly ReadableDevice[];

  constructor(device: ReadableDevice, header: Header, state: MappedState, { backing, dataFile }: Qcow2Options) {
    this.byteLength = state.capacity;
    this.#header = header;
    this.#tables = new MappingTables(device, header, state);
    this.#compressed = new CompressedData(device, header);
    this.#data = header.externalDataFile && dataFile !== undefined ? dataFile : device;
    this.#backing = backing;
    this.#fileLength = device.byteLength;
    this.#opened = [device, dataFile, backing].filter((one) => one !== undefined);
  }

  async read(target: Uint8Array, offset: number, options?: ReadOptions): Promise<number> {
    const wanted = Math.max(0, Math.min(target.byteLength, this.byteLength - offset));
    await this.#readInto(target.subarray(0, wanted), offset, options?.signal);
    return wanted;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.#opened) await one[Symbol.asyncDispose]();
  }

  async #readInto(target: Uint8Array, offset: number, signal: AbortSignal | undefined): Promise<void> {
    const end = offset + target.byteLength;
    let at = offset;
    signal?.throwIfAborted();
    while (at < end) {
      signal?.throwIfAborted();
      const found = this.#tables.sliceAt(at);
      const slice = found instanceof Promise ? await found : found;
      const stop = Math.min(end, slice.end);
      while (at < stop) {
        const run = mapRun(slice, this.#header, at, stop);
        const piece = target.subarray(at - offset, run.end - offset);
        if (run.kind === 'compressed') {
          at = await this.#readCompressed(slice, run, at, target.subarray(at - offset, stop - offset));
          continue;
        }
        if (run.kind === 'data') await readPadded(this.#data, run.hostOffset, piece);
        else if (run.kind === 'unallocated') await this.#readBacking(at, piece);
        else piece.fill(0);
        at = run.end;
      }
    }
  }

  async #readBacking(at: number, target: Uint8Array): Promise<void> {
    if (this.#backing !== undefined) {
      await readPadded(this.#backing, at, target);
      return;
    }
    if (this.#header.backingFile !== undefined)
      throw new PlimsollError('refused', 'QCOW2_BACKING_MISSING', {
        doing: DOING,
        field: 'backing file',
        found: this.#header.backingFile,
        expected: 'the backing file, opened and handed in',
      });
    target.fill(0);
  }

  /** Fills `target`, which begins with guest byte `at` in cluster `run`, as far as compressed data lies together. Returns its end. */
  async #readCompressed(slice: L2Slice, run: CompressedRun, at: number, target: Uint8Array): Promise<number> {
    const { clusterSize } = this.#header;
    const put = ({ end }: CompressedRun, content: Uint8Array): void => {
      const clusterStart = Math.floor((end - 1) / clusterSize) * clusterSize;
      const from = Math.max(at, clusterStart);
      target.set(content.subarray(from - clusterStart, end - clusterStart), from - at);
    };
    const known = this.#compressed.known(run);
    if (known !== undefined) {
      put(run, known);
      return run.end;
    }
    const group: CompressedRun[] = [run];
    const stop = at + target.byteLength;
    let end = run.end;
    while (end < stop) {
      const next = mapRun(slice, this.#header, end, stop);
      if (next.kind !== 'compressed' || !CompressedData.belongs(group, next)) break;
      group.push(next);
      end = next.end;
    }
    await this.#compressed.read(group, put);
    return end;
  }

  async *extents(offset: number, length: number, options?: ReadOptions): AsyncGenerator<Extent> {
    const signal = options?.signal;
    signal?.throwIfAborted();
    const own = new ExtentJoiner();
    const joined = new ExtentJoiner();
    for await (const batch of this.#ownBatches(offset, Math.min(offset + length, this.byteLength), own, signal)) {
      for (const extent of batch) {
        if (extent.status !== 'unallocated' || this.#backing === undefined) {
          const whole = joined.add(extent);
          if (whole !== undefined) yield whole;
          continue;
        }
        for await (const part of extentsBelow(extent, this.#backing, { signal })) {
          const whole = joined.add(part);
          if (whole !== undefined) yield whole;
        }
      }
    }
    const last = joined.finish();
    if (last !== undefined) yield last;
  }

  /** The image's own extents, joined by `joiner`, as many at a time as one slice of a table makes whole. */
  async *#ownBatches(start: number, end: number, joiner: ExtentJoiner, signal: AbortSignal | undefined): AsyncGenerator<Extent[]> {
    const seen = new ClusterSet();
    let l1Index = -1;
    let at = start;
    while (at < end) {
      signal?.throwIfAborted();
      const slice = await this.#tables.sliceAt(at);
      if (slice.entries !== undefined && slice.l1Index !== l1Index) this.#visitTable(slice, seen);
      l1Index = slice.l1Index;
      const stop = Math.min(end, slice.end);
      const batch: Extent[] = [];
      while (at < stop) {
        const run = mapRun(slice, this.#header, at, stop);
        const whole = joiner.add(extentOf(run, at));
        if (whole !== undefined) batch.push(whole);
        at = run.end;
      }
      yield batch;
    }
    const last = joiner.finish();
    if (last !== undefined) yield [last];
  }

  /** Two L1 entries with one table would make the walk longer than the file warrants. */
  #visitTable(slice: L2Slice, seen: ClusterSet): void {
    const cluster = Math.floor(slice.fileOffset / this.#header.clusterSize);
    if (seen.has(cluster))
      throw new PlimsollError('corrupt', 'QCOW2_L2_TABLE_TWICE', {
        doing: 'read qcow2 L1 table',
        field: 'L2 table offset',
        found: `0x${(cluster * this.#header.clusterSize).toString(16)} a second time`,
        expected: `a table of its own for each of the L1 entries, in the file of ${this.#fileLength} bytes`,
      });
    seen.add(cluster);
  }
}

function extentOf(run: MappedRun, start: number): Extent {
  const isCompressed = run.kind === 'compressed';
  return {
    start,
    end: run.end,
    status: isCompressed ? 'data' : run.kind,
    depth: 0,
    compressed: isCompressed,
    fileOffset: run.kind === 'data' ? run.hostOffset : undefined,
  };
}

/** Fills `target` from `offset` of `device` on; what lies behind its end is zeros. */
async function readPadded(device: ReadableDevice, offset: number, target: Uint8Array): Promise<void> {
  const byteLength = Math.min(target.byteLength, device.byteLength - offset);
  if (byteLength <= 0) {
    target.fill(0);
    return;
  }
  target.fill(0, await device.read(target.subarray(0, byteLength), offset));
}
