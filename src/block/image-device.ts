/** The contract of a disk image that is opened: the guest's bytes, and where they come from. */
import type { BlockDevice } from './device.ts';

/** zero: the image says that these bytes are zeros; unallocated: it says nothing, so they are zeros or the parent's. */
export type ExtentStatus = 'data' | 'zero' | 'unallocated';

/** A run of guest bytes of one origin. */
export interface Extent {
  readonly start: number;
  readonly end: number;
  readonly status: ExtentStatus;
  /** Which image of the chain says so: 0 this one, 1 its parent, and so on. */
  readonly depth: number;
  /** The bytes are stored compressed. */
  readonly compressed: boolean;
  /** Where the bytes begin in that image's file (or its data file); undefined where there are none, or none as the guest sees them. */
  readonly fileOffset: number | undefined;
}

/** A disk image as the guest sees it: `byteLength` is the capacity, `read` gives the guest's bytes. */
export interface ImageDevice extends BlockDevice {
  /**
   * Extents, ascending, disjoint, covering [start, end); neighbours differ in something or do not continue each other.
   *
   * Throws: corrupt, io, over-budget; AbortError.
   */
  extents(start: number, end: number, signal?: AbortSignal): AsyncIterable<Extent>;
}
