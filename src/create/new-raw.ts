/** The layout of a new raw image, and of an external data file, which is one. */
import { roundUp } from '#base';
import type { Preallocation } from '#formats';

export interface NewRawPlan {
  /** QEMU counts in sectors. */
  readonly length: number;
  /** Bytes from the start that are given storage. */
  readonly storedLength: number;
}

const SECTOR = 512;

/**
 * QEMU writes the first block of an otherwise empty file, so that a program that opens it without the page cache can detect the
 * required alignment: reading a hole succeeds with any.
 */
const FIRST_BLOCK = 4096;

export function planNewRaw(capacity: number, preallocation: Preallocation): NewRawPlan {
  const length = roundUp(capacity, SECTOR);
  const isWhole = preallocation === 'falloc' || preallocation === 'full';
  return { length, storedLength: isWhole ? length : Math.min(length, FIRST_BLOCK) };
}
