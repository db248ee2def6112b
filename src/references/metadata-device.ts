/** The bytes of an image as its parser gets them: holes for free, the beginning read once, all reading bounded. */
import { KiB, MiB } from '#base';
import { type FileFacts, type ReadableDevice, type TableMemory, withPrefix, withReadBudget } from '#block';
import { holesAsZeros } from '#host';

/** Metadata read beyond what the file stores: room for small files on filesystems that compress. */
const READ_ALLOWANCE = 256 * MiB;

/** Header, refcount table, first refcount block and L1 table of a new image with 64 KiB clusters lie below. */
export const PREFIX_BYTES = 256 * KiB;

/** Holes cost no reading, and all reading together is bounded by what the file stores; what is made of it, by `tables`. */
export function metadataDevice(
  device: ReadableDevice,
  facts: FileFacts,
  memory: Uint8Array = new Uint8Array(PREFIX_BYTES),
  tables?: TableMemory,
): ReadableDevice {
  const quick = withPrefix(device, memory);
  const sparse = facts.map === undefined || facts.openForWriting === true ? quick : holesAsZeros(quick, facts.map);
  return { ...withReadBudget(sparse, metadataBudget(facts)), memory: tables };
}

/** Bytes that may be read of a file's metadata. */
export function metadataBudget(facts: Pick<FileFacts, 'filesystem' | 'allocation' | 'length'>): number {
  const storage = facts.filesystem === 'other' ? Math.max(facts.allocation, facts.length) : facts.allocation;
  return 2 * storage + READ_ALLOWANCE;
}
