/** What a writer of an image would do to it, although every reader sees the same disk. */

/**
 * A reason why QEMU 7.2 must not write to an image in place: a guest's write would change the image's own structures, or lose
 * data. One read of the image is not affected.
 */
export interface WriteHazard {
  readonly code: string;
  readonly message: string;
  /** Byte offset in the file; undefined where no place shows it. */
  readonly at: number | undefined;
}
