/**
 * Which guest bytes an image itself gives: data, zeros, or nothing (then its backing file speaks). Source: qcow2 spec,
 * "Cluster mapping"; subclusters: "Extended L2 Entries".
 */
import { divideUp } from '#base';
import type { ReadableDevice } from '#block';
import { ENTRY_BYTES, offsetOf } from '../entry.ts';
import type { Header } from '../header.ts';
import { type L2Slice, mapRun } from './mapping.ts';
import { requireL2Table } from './table-location.ts';
import { readTable } from './table-reader.ts';

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
export async function* guestRuns(device: ReadableDevice, header: Header, signal?: AbortSignal): AsyncGenerator<GuestRun> {
  const { clusterSize, l2Entries, capacity } = header;
  const l1 = await readTable(device, header.l1TableOffset, header.l1Size * ENTRY_BYTES, 'L1 table');
  const view = new DataView(l1.buffer, l1.byteOffset, l1.byteLength);
  const tableBytes = l2Entries * clusterSize;
  for (let index = 0; index < divideUp(capacity, tableBytes); index += 1) {
    signal?.throwIfAborted();
    const start = index * tableBytes;
    const end = Math.min(capacity, start + tableBytes);
    const offset = offsetOf(view.getUint32(index * ENTRY_BYTES), view.getUint32(index * ENTRY_BYTES + 4));
    if (offset === 0) yield { start, end, status: 'unallocated' };
    else {
      requireL2Table(offset, header, { entryAt: header.l1TableOffset + index * ENTRY_BYTES, fileLength: device.byteLength });
      const table = await readTable(device, offset, clusterSize, 'L2 table');
      const entries = new DataView(table.buffer, table.byteOffset, table.byteLength);
      yield* tableRuns({ start, end, entries, fileOffset: offset, l1Index: index }, header);
    }
  }
}

function* tableRuns(slice: L2Slice, header: Header): Generator<GuestRun> {
  let open: { start: number; end: number; status: GuestStatus } | undefined;
  for (let at = slice.start; at < slice.end; ) {
    const { kind, end } = mapRun(slice, header, at, slice.end);
    const status = kind === 'compressed' ? 'data' : kind;
    if (open?.status !== status) {
      if (open !== undefined) yield open;
      open = { start: at, end, status };
    } else open.end = end;
    at = end;
  }
  if (open !== undefined) yield open;
}
