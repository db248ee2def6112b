/** The internal snapshot table. Source: qcow2 spec, "Snapshots". */
import { PlimsollError, roundUp } from '#base';
import { type ReadableDevice, readUpTo } from '#block';
import { decodeName } from './extension.ts';
import type { Header } from './header.ts';
import { LIMITS, SNAPSHOT_ENTRY } from './layout.ts';

export interface InternalSnapshot {
  readonly l1TableOffset: number;
  /** Entries of its L1 table. */
  readonly l1Size: number;
  readonly vmStateSize: number;
  readonly idLength: number;
  readonly nameLength: number;
  readonly id: string;
  readonly name: string;
  /** Seconds since 1970, and nanoseconds: tells it from an earlier one of the same id. */
  readonly takenAt: string;
  /** Capacity when it was taken; undefined where the entry does not say, then it is the image's. May be 2^53 or more: not checked. */
  readonly diskSize: number | undefined;
}

export interface SnapshotTable {
  readonly snapshots: readonly InternalSnapshot[];
  readonly byteLength: number;
}

/** Fixed part, extra data, id and name, padding. */
const MAX_ENTRY_LENGTH = SNAPSHOT_ENTRY.byteLength + LIMITS.snapshotExtraBytes + 2 * 65535 + 8;
/** Bytes read ahead at a time. */
const WINDOW = 256 * 1024;

/**
 * All entries of the table.
 *
 * Bounds: at most 65536 entries and 64 MiB.
 * Throws: corrupt, when an entry or its L1 table reaches outside the file.
 */
export async function readSnapshotTable(device: ReadableDevice, header: Header): Promise<SnapshotTable> {
  const snapshots: InternalSnapshot[] = [];
  let at = header.snapshotsOffset;
  let window: Uint8Array = new Uint8Array();
  let windowAt = at;
  for (let index = 0; index < header.nbSnapshots; index += 1) {
    const windowEnd = windowAt + window.byteLength;
    if (at + MAX_ENTRY_LENGTH > windowEnd && (windowEnd < device.byteLength || at >= windowEnd)) {
      window = await readUpTo(device, at, WINDOW);
      windowAt = at;
    }
    const { snapshot, byteLength } = parseEntry(window.subarray(at - windowAt), at, header, device.byteLength);
    snapshots.push(snapshot);
    at += byteLength;
    if (at - header.snapshotsOffset > LIMITS.snapshotTableBytes)
      throw wrong('snapshot table size', header.snapshotsOffset, at - header.snapshotsOffset, `at most ${LIMITS.snapshotTableBytes}`);
  }
  return { snapshots, byteLength: at - header.snapshotsOffset };
}

function parseEntry(bytes: Uint8Array, at: number, header: Header, fileLength: number): { snapshot: InternalSnapshot; byteLength: number } {
  const entry = SNAPSHOT_ENTRY.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, at);
  if (entry.extraDataSize > LIMITS.snapshotExtraBytes)
    throw wrong('extra_data_size', at + 36, entry.extraDataSize, `at most ${LIMITS.snapshotExtraBytes}`);
  const nameAt = SNAPSHOT_ENTRY.byteLength + entry.extraDataSize + entry.idSize;
  const end = nameAt + entry.nameSize;
  if (end > bytes.byteLength) throw wrong('snapshot name', at, `${end} bytes`, 'inside the file');
  const l1Bytes = entry.l1Size * 8;
  if (l1Bytes > LIMITS.l1TableBytes) throw wrong('l1_size', at + 8, entry.l1Size, `at most ${LIMITS.l1TableBytes / 8}`);
  if (entry.l1TableOffset % header.clusterSize !== 0 || entry.l1TableOffset + l1Bytes > fileLength) {
    throw wrong('l1_table_offset', at, `0x${entry.l1TableOffset.toString(16)} + ${l1Bytes} bytes`, 'cluster-aligned and inside the file');
  }
  const extra = new DataView(bytes.buffer, bytes.byteOffset + SNAPSHOT_ENTRY.byteLength, entry.extraDataSize);
  const wideVmState = entry.extraDataSize >= 8 ? Number(extra.getBigUint64(0)) : 0;
  return {
    snapshot: {
      l1TableOffset: entry.l1TableOffset,
      l1Size: entry.l1Size,
      vmStateSize: wideVmState === 0 ? entry.vmStateSize : wideVmState,
      idLength: entry.idSize,
      nameLength: entry.nameSize,
      id: decodeName(bytes.subarray(nameAt - entry.idSize, nameAt)),
      name: decodeName(bytes.subarray(nameAt, end)),
      takenAt: `${entry.dateSeconds}.${String(entry.dateNanoseconds).padStart(9, '0')}`,
      diskSize: entry.extraDataSize >= 16 ? Number(extra.getBigUint64(8)) : undefined,
    },
    byteLength: roundUp(end, 8),
  };
}

function wrong(field: string, at: number, found: string | number, expected: string): PlimsollError {
  return new PlimsollError('corrupt', 'QCOW2_SNAPSHOT_TABLE', { doing: 'read qcow2 snapshot table', field, at, found, expected });
}
