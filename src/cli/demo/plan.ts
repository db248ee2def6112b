/** The contents of the demonstration store, and the size of its preallocated images on the given filesystem. */
import { formatBytes, GiB, MiB } from '#base';

/** The capacity of the published table. */
export const FULL_CAPACITY = 40 * GiB;

/** Linux, include/uapi/linux/magic.h: storage there is memory. */
const MEMORY_FILESYSTEMS: ReadonlySet<number> = new Set([0x01021994 /* TMPFS_MAGIC */, 0x858458f6 /* RAMFS_MAGIC */]);

/** Space for this many times both preallocated images must be available, so that the demonstration disturbs nothing else. */
const MARGIN = 4;
const PREALLOCATED_IMAGES = 2;
const PREALLOCATED_CAPACITIES: readonly number[] = [FULL_CAPACITY, GiB, 64 * MiB];
const MIN_CAPACITY = 64 * MiB;

export interface Room {
  readonly availableBytes: number;
  /** statfs f_type. */
  readonly filesystemType: number;
}

export interface Plan {
  /** Of the preallocated images; null when not even small ones fit. */
  readonly preallocatedCapacity: number | null;
  /** Bytes written to the image with a snapshot and to the shared copy. */
  readonly smallCapacity: number;
  /** Why they are smaller than in the published table. */
  readonly note: string | null;
}

/** Maximum size of the growing image, small for the same reason. A multiple of 1 MiB. */
const MAX_GROWTH = 512 * MiB;
const GROWTH_SHARE = 32;

export function growthFor(room: Room): number {
  const most = MEMORY_FILESYSTEMS.has(room.filesystemType) ? MIN_CAPACITY : MAX_GROWTH;
  return Math.min(most, Math.floor(room.availableBytes / GROWTH_SHARE / MiB) * MiB);
}

export function planFor(room: Room): Plan {
  const inMemory = MEMORY_FILESYSTEMS.has(room.filesystemType);
  const candidates = inMemory ? [MIN_CAPACITY] : PREALLOCATED_CAPACITIES;
  const capacity = candidates.find((one) => room.availableBytes >= one * PREALLOCATED_IMAGES * MARGIN) ?? null;
  const why = inMemory ? 'this filesystem keeps its files in memory' : `only ${formatBytes(room.availableBytes)} are available here`;
  return { preallocatedCapacity: capacity, smallCapacity: 32 * MiB, note: noteFor(capacity, why) };
}

function noteFor(capacity: number | null, why: string): string | null {
  if (capacity === FULL_CAPACITY) return null;
  if (capacity === null) return `The preallocated images are missing: ${why}.`;
  return `The preallocated images have ${formatBytes(capacity)} instead of ${formatBytes(FULL_CAPACITY)}: ${why}.`;
}
