/**
 * Which guest bytes an image itself gives: data, zeros, or nothing (then its backing file speaks). Source: qcow2 spec,
 * "Cluster mapping"; subclusters: "Extended L2 Entries".
 */
import { divideUp } from '#base';
import type { BlockDevice } from '#block';
import { readCluster } from './census.ts';
import type { Header } from './header.ts';
import { SUBCLUSTERS_PER_CLUSTER } from './layout.ts';
import { readExactly } from './table-reader.ts';

export type GuestStatus = 'data' | 'zero' | 'unallocated';

export interface GuestRun {
  readonly start: number;
  readonly end: number;
  readonly status: GuestStatus;
}

/**
 * Guest runs, ascending, disjoint, covering [0, capacity); neighbours may have the same status.
 *
 * Bounds: one L2 table is held at a time. Throws: corrupt, io; AbortError.
 */
export async function* guestRuns(device: BlockDevice, header: Header, signal?: AbortSignal): AsyncGenerator<GuestRun> {
  const { clusterSize, l2Entries, capacity } = header;
  const l1 = await readExactly(device, header.l1TableOffset, header.l1Size * 8, 'L1 table');
  const view = new DataView(l1.buffer, l1.byteOffset, l1.byteLength);
  const tableBytes = l2Entries * clusterSize;
  for (let index = 0; index < divideUp(capacity, tableBytes); index += 1) {
    signal?.throwIfAborted();
    const start = index * tableBytes;
    const end = Math.min(capacity, start + tableBytes);
    const offset = (view.getUint32(index * 8) & 0x00ffffff) * 0x100000000 + ((view.getUint32(index * 8 + 4) & 0xfffffe00) >>> 0);
    if (offset === 0) yield { start, end, status: 'unallocated' };
    else yield* tableRuns(await readCluster(device, header, offset), header, start, end);
  }
}

function* tableRuns(table: Uint8Array, header: Header, start: number, end: number): Generator<GuestRun> {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const { clusterSize } = header;
  let open: { start: number; end: number; status: GuestStatus } | undefined;
  for (let entry = 0; start + entry * clusterSize < end; entry += 1) {
    const at = start + entry * clusterSize;
    for (const run of entryRuns(view, entry, header, at, Math.min(end, at + clusterSize))) {
      if (open?.status !== run.status) {
        if (open !== undefined) yield open;
        open = { ...run };
      } else open.end = run.end;
    }
  }
  if (open !== undefined) yield open;
}

function entryRuns(view: DataView, entry: number, header: Header, start: number, end: number): GuestRun[] {
  const stride = header.extendedL2 ? 16 : 8;
  const high = view.getUint32(entry * stride);
  const low = view.getUint32(entry * stride + 4);
  const isCompressed = ((high >>> 30) & 1) === 1;
  if (isCompressed) return [{ start, end, status: 'data' }];
  if (header.extendedL2) return subclusterRuns(view, entry * stride + 8, header, start, end);
  if ((low & 1) === 1) return [{ start, end, status: 'zero' }];
  const hasOffset = (high & 0x00ffffff) !== 0 || (low & 0xfffffe00) !== 0 || (header.externalDataFile && high >>> 31 === 1);
  return [{ start, end, status: hasOffset ? 'data' : 'unallocated' }];
}

/** Bitmap of an extended entry: bits 0-31 (low word) allocated, bits 32-63 (high word) reads as zeros. */
function subclusterRuns(view: DataView, at: number, header: Header, start: number, end: number): GuestRun[] {
  const zero = view.getUint32(at);
  const allocated = view.getUint32(at + 4);
  const size = header.clusterSize / SUBCLUSTERS_PER_CLUSTER;
  const runs: GuestRun[] = [];
  for (let index = 0; index < SUBCLUSTERS_PER_CLUSTER && start + index * size < end; index += 1) {
    const status = ((zero >>> index) & 1) === 1 ? 'zero' : ((allocated >>> index) & 1) === 1 ? 'data' : 'unallocated';
    const last = runs.at(-1);
    const stop = Math.min(end, start + (index + 1) * size);
    if (last?.status === status) runs[runs.length - 1] = { ...last, end: stop };
    else runs.push({ start: start + index * size, end: stop, status });
  }
  return runs;
}
