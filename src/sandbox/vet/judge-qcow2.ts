/** Reasons against a qcow2 image in what QEMU would follow: its header, the memory it asks for, its tables, its compressed data. */
import { formatBytes } from '#base';
import { type ReadableDevice, readUpTo } from '#block';
import {
  checkBitmaps,
  decodeCompressed,
  headerFaults,
  LUKS_MAGIC,
  type Qcow2Header,
  qemuMemory,
  readSnapshotTable,
  snapshotFaults,
  type TableCheck,
  totalBytes,
} from '#formats';
import type { InspectContext } from './inspectors.ts';
import { headerOnlyUnlessKept } from './reasons.ts';

/** Where fields lie in the header: qcow2 spec, "Header". */
const AT_INCOMPATIBLE = 72;

/** Judges what comes before the tables. Whether QEMU needs no more memory than the policy allows. */
export async function judgeStructures(device: ReadableDevice, header: Qcow2Header, { policy, reasons }: InspectContext): Promise<boolean> {
  const prefix = await readUpTo(device, 0, header.clusterSize);
  for (const { at, what } of headerFaults(prefix, header)) reasons.refuse('HEADER_UNSOUND', `In the header: ${what}.`, at);
  try {
    for (const { at, what } of (await checkBitmaps(device, header)).faults)
      reasons.refuse('BITMAP_UNSOUND', `QEMU does not open the image: ${what}.`, at);
    if (header.nbSnapshots > 0)
      for (const { at, what } of snapshotFaults(await readSnapshotTable(device, header), header))
        reasons.refuse('SNAPSHOT_UNSOUND', `In the snapshot table: ${what}.`, at);
    await judgeEncryptionHeader(device, header, reasons);
    return await judgeMemory(device, header, 0, { policy, reasons });
  } catch (thrown) {
    headerOnlyUnlessKept(thrown, reasons);
    return false;
  }
}

/** Magic and version of LUKS1, the only one that QEMU opens. Source: LUKS On-Disk Format Specification 1.2.3, "phdr". */
const LUKS1_START = `${LUKS_MAGIC}\0\x01`;

async function judgeEncryptionHeader(device: ReadableDevice, header: Qcow2Header, reasons: InspectContext['reasons']): Promise<void> {
  if (header.encryption !== 'luks' || header.encryptionHeader === undefined) return;
  const { offset } = header.encryptionHeader;
  const start = await readUpTo(device, offset, LUKS1_START.length);
  if (String.fromCharCode(...start) !== LUKS1_START)
    reasons.refuse('HEADER_UNSOUND', 'QEMU does not open the image: its encryption header is not one of LUKS1.', offset);
}

async function judgeMemory(
  device: ReadableDevice,
  header: Qcow2Header,
  endCluster: number,
  { policy, reasons }: Pick<InspectContext, 'policy' | 'reasons'>,
): Promise<boolean> {
  const { maxQemuMemory } = policy;
  if (maxQemuMemory === null) return true;
  const memory = await qemuMemory(device, header, endCluster);
  const total = totalBytes(memory);
  if (total <= maxQemuMemory) return true;
  const parts = [
    `${formatBytes(memory.bitmaps)} for bitmaps`,
    `${formatBytes(memory.tables)} for tables and their caches`,
    `${formatBytes(memory.snapshots)} for snapshots`,
    `${formatBytes(memory.headerExtensions)} for the header`,
    `${formatBytes(memory.check)} for the refcounts of qemu-img check`,
  ];
  reasons.refuse(
    'QEMU_MEMORY',
    `QEMU would allocate up to ${formatBytes(total)} (${parts.join(', ')}); the policy allows ${formatBytes(maxQemuMemory)}.`,
  );
  return false;
}

/** Judges what the check of the tables found, and decodes compressed data. */
export async function judgeTables(device: ReadableDevice, header: Qcow2Header, check: TableCheck, context: InspectContext): Promise<void> {
  const { reasons, signal } = context;
  judgeReferences(header, check, context);
  judgeRefcounts(header, check, context);
  if (check.usedEnd * header.clusterSize > device.byteLength) await judgeMemory(device, header, check.usedEnd, context);
  if (header.encryption !== 'none' || check.compressedCount === 0) return;
  const { damaged, notDecodedCount } = await decodeCompressed(device, header, check, signal);
  if (damaged !== undefined)
    reasons.refuse('COMPRESSED_DAMAGED', `Compressed data of the guest cannot be decoded: ${damaged.what}.`, damaged.at);
  if (notDecodedCount > 0)
    reasons.note(
      'COMPRESSED_NOT_DECODED',
      `Compressed clusters that were not decoded (too many, or not retained from a stream): ${notDecodedCount}.`,
    );
}

function judgeReferences({ clusterSize }: Qcow2Header, check: TableCheck, { reasons }: InspectContext): void {
  const { conflict, usedTwice, unsound, beyondEnd } = check;
  if (conflict !== undefined) {
    const { cluster, held, claimed } = conflict;
    const isData = [held, claimed].some((kind) => kind === 'guest data' || kind === 'compressed data');
    const message = `One cluster is used as ${held} and as ${claimed}: a write to one changes the other.`;
    if (isData) reasons.refuse('DATA_OVER_TABLE', message, cluster * clusterSize);
    else reasons.refuse('STRUCTURES_OVERLAP', message, cluster * clusterSize);
  }
  if (usedTwice !== undefined)
    reasons.refuse(
      'CLUSTER_USED_TWICE',
      'Two entries of the active tables refer to one cluster: a write through one changes the other.',
      usedTwice * clusterSize,
    );
  if (unsound !== undefined) reasons.refuse('ENTRY_INVALID', `Invalid table entry: ${unsound.what}.`, unsound.at);
  if (beyondEnd !== undefined)
    reasons.refuse(
      'DATA_BEYOND_END',
      'Table entries refer to data beyond the end of the file: it is truncated.',
      beyondEnd.first * clusterSize,
    );
}

function judgeRefcounts({ dirty, clusterSize }: Qcow2Header, check: TableCheck, { reasons }: InspectContext): void {
  const { missing, tooLow, copiedWrong, leakedCount } = check;
  if (dirty) {
    if (missing !== undefined || tooLow !== undefined || copiedWrong !== undefined)
      reasons.convert(
        'REFCOUNTS_STALE',
        'The image was not closed cleanly and its refcounts are out of date: opened for writing, QEMU rebuilds them first.',
        AT_INCOMPATIBLE,
      );
    return;
  }
  if (missing !== undefined)
    reasons.refuse(
      'REFCOUNT_MISSING',
      `${missing.count} clusters are in use and have refcount 0: the first write may overwrite data.`,
      missing.first * clusterSize,
    );
  if (tooLow !== undefined)
    reasons.refuse(
      'REFCOUNT_TOO_LOW',
      `${tooLow.count} clusters have more references than their refcounts count: freeing one reference frees data that others still use.`,
      tooLow.first * clusterSize,
    );
  if (copiedWrong !== undefined)
    reasons.refuse(
      'COPIED_WRONG',
      `Entries whose COPIED bit contradicts the refcount of their cluster: ${copiedWrong.count}. A write in place changes shared data.`,
      copiedWrong.first * clusterSize,
    );
  if (leakedCount > 0)
    reasons.note('LEAKED_CLUSTERS', `Clusters of ${clusterSize} bytes whose refcount is higher than their references: ${leakedCount}.`);
}
