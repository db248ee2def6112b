/**
 * Adds an internal snapshot to a small qcow2 image without users, as `qemu-img snapshot -c` would: for the
 * demonstration store, on hosts without QEMU. Not a general tool: it writes in place and is not safe against a crash.
 *
 * Source: QEMU docs/interop/qcow2, "Header", "Refcounts", "Snapshots", "Cluster mapping".
 */
import { type FileHandle, open } from 'node:fs/promises';
import { divideUp, PlimsollError } from '#base';
import { isCompressedQcow2Entry, offsetOfQcow2Entry, QCOW2_ENTRY_BYTES, withoutQcow2Copied } from '#formats';

/** Header fields, bytes from the start of the file. */
const AT = {
  version: 4,
  clusterBits: 20,
  l1Size: 36,
  l1Offset: 40,
  refcountTableOffset: 48,
  nbSnapshots: 60,
  snapshotsOffset: 64,
  refcountOrder: 96,
};
const CAPACITY_AT = 24;

const ENTRY_FIXED_BYTES = 40;
/** VM state size, capacity, instruction count: what version 3 requires, and QEMU 7 writes. */
const ENTRY_EXTRA_BYTES = 24;
const NO_INSTRUCTION_COUNT = 0xffff_ffff_ffff_ffffn;

interface Image {
  readonly file: FileHandle;
  readonly clusterBytes: number;
  readonly capacity: bigint;
  readonly l1Offset: number;
  readonly l1: DataView;
  /** The one refcount block, which covers the whole of a small image. */
  readonly refcounts: DataView;
  readonly refcountsOffset: number;
}

/**
 * Gives the image at `path` its first internal snapshot, called `name`.
 *
 * Bounds: images whose clusters fit one refcount block, 2 GiB with 64 KiB clusters.
 * Throws: unsupported (anything but what `create` makes by default), io.
 */
export async function addInternalSnapshot(path: string, name: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const image = await readImage(file);
    const end = endOfUse(image);
    const l1Clusters = divideUp(image.l1.byteLength, image.clusterBytes);
    if (end + l1Clusters + 1 > image.refcounts.byteLength / 2)
      throw unsupported('clusters', `${end} in use`, 'room in the first refcount block');
    await shareEverything(image);
    for (let cluster = end; cluster < end + l1Clusters + 1; cluster += 1) image.refcounts.setUint16(cluster * 2, 1);
    const l1CopyOffset = end * image.clusterBytes;
    const tableOffset = l1CopyOffset + l1Clusters * image.clusterBytes;
    await writeAt(file, image.l1, l1CopyOffset);
    await writeAt(file, image.l1, image.l1Offset);
    await writeAt(file, snapshotEntry(image, name, l1CopyOffset), tableOffset);
    await writeAt(file, image.refcounts, image.refcountsOffset);
    await writeAt(file, snapshotFields(tableOffset), AT.nbSnapshots);
    // XFS preallocates storage past the end of a growing file; truncating to the length releases it.
    await file.truncate((await file.stat()).size);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function readImage(file: FileHandle): Promise<Image> {
  const header = await readAt(file, 0, 104);
  const required: readonly [string, number, number][] = [
    ['version', header.getUint32(AT.version), 3],
    ['nb_snapshots', header.getUint32(AT.nbSnapshots), 0],
    ['refcount_order', header.getUint32(AT.refcountOrder), 4],
  ];
  for (const [field, found, expected] of required) if (found !== expected) throw unsupported(field, found, expected);
  const clusterBytes = 2 ** header.getUint32(AT.clusterBits);
  const l1Offset = Number(header.getBigUint64(AT.l1Offset));
  const refcountTable = await readAt(file, Number(header.getBigUint64(AT.refcountTableOffset)), 8);
  const refcountsOffset = Number(refcountTable.getBigUint64(0));
  return {
    file,
    clusterBytes,
    capacity: header.getBigUint64(CAPACITY_AT),
    l1Offset,
    l1: await readAt(file, l1Offset, header.getUint32(AT.l1Size) * 8),
    refcounts: await readAt(file, refcountsOffset, clusterBytes),
    refcountsOffset,
  };
}

/** The index after the last cluster in use. */
function endOfUse({ refcounts }: Image): number {
  let end = refcounts.byteLength / 2;
  while (end > 0 && refcounts.getUint16((end - 1) * 2) === 0) end -= 1;
  return end;
}

/** Adds one reference to every L2 table and data cluster, so that they can no longer be overwritten in place. */
async function shareEverything(image: Image): Promise<void> {
  for (let index = 0; index < image.l1.byteLength; index += QCOW2_ENTRY_BYTES) {
    const l2Offset = share(image, image.l1, index);
    if (l2Offset === 0) continue;
    const l2 = await readAt(image.file, l2Offset, image.clusterBytes);
    for (let entry = 0; entry < l2.byteLength; entry += QCOW2_ENTRY_BYTES) {
      if (isCompressedQcow2Entry(l2.getUint32(entry))) throw unsupported('l2_entry', 'a compressed cluster', 'standard clusters');
      share(image, l2, entry);
    }
    await writeAt(image.file, l2, l2Offset);
  }
}

/** The offset in the table entry at `at`, 0 for none; its cluster is counted once more and the COPIED bit cleared. */
function share(image: Image, table: DataView, at: number): number {
  const high = table.getUint32(at);
  const offset = offsetOfQcow2Entry(high, table.getUint32(at + 4));
  if (offset === 0) return 0;
  table.setUint32(at, withoutQcow2Copied(high));
  const refcountAt = (offset / image.clusterBytes) * 2;
  if (refcountAt >= image.refcounts.byteLength) throw unsupported('cluster offset', offset, 'inside the first refcount block');
  image.refcounts.setUint16(refcountAt, image.refcounts.getUint16(refcountAt) + 1);
  return offset;
}

function snapshotEntry(image: Image, name: string, l1CopyOffset: number): DataView {
  const id = Buffer.from('1');
  const nameBytes = Buffer.from(name);
  const used = ENTRY_FIXED_BYTES + ENTRY_EXTRA_BYTES + id.length + nameBytes.length;
  const entry = new DataView(new ArrayBuffer(divideUp(used, 8) * 8));
  entry.setBigUint64(0, BigInt(l1CopyOffset));
  entry.setUint32(8, image.l1.byteLength / 8);
  entry.setUint16(12, id.length);
  entry.setUint16(14, nameBytes.length);
  entry.setUint32(16, Math.floor(Date.now() / 1000));
  entry.setUint32(36, ENTRY_EXTRA_BYTES);
  entry.setBigUint64(48, image.capacity);
  entry.setBigUint64(56, NO_INSTRUCTION_COUNT);
  const names = new Uint8Array(entry.buffer, ENTRY_FIXED_BYTES + ENTRY_EXTRA_BYTES);
  names.set(id, 0);
  names.set(nameBytes, id.length);
  return entry;
}

/** nb_snapshots and snapshots_offset, neighbours in the header. */
function snapshotFields(tableOffset: number): DataView {
  const fields = new DataView(new ArrayBuffer(12));
  fields.setUint32(0, 1);
  fields.setBigUint64(4, BigInt(tableOffset));
  return fields;
}

async function readAt(file: FileHandle, offset: number, byteLength: number): Promise<DataView> {
  const buffer = new Uint8Array(byteLength);
  // Short at the end of the file: a new L1 table may be the last part of it, and the missing bytes are zero.
  await file.read(buffer, 0, byteLength, offset);
  return new DataView(buffer.buffer);
}

async function writeAt(file: FileHandle, data: DataView, offset: number): Promise<void> {
  await file.write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 0, data.byteLength, offset);
}

function unsupported(field: string, found: string | number, expected: string | number): PlimsollError {
  return new PlimsollError('unsupported', 'DEMO_SNAPSHOT', {
    doing: 'add a snapshot to a demonstration image',
    field,
    found,
    expected: String(expected),
  });
}
