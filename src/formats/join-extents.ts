/** Extents as the contract wants them: neighbours that are one origin's continued bytes become one. */
import type { Extent } from '#block';

/** Takes extents in ascending order and gives back each as soon as it is known to be whole. */
export class ExtentJoiner {
  #open: Extent | undefined;

  /** The extent before `next`, if `next` does not continue it. */
  add(next: Extent): Extent | undefined {
    const open = this.#open;
    if (open !== undefined && continues(open, next)) {
      this.#open = { ...open, end: next.end };
      return undefined;
    }
    this.#open = next;
    return open;
  }

  /** The last one. */
  finish(): Extent | undefined {
    const open = this.#open;
    this.#open = undefined;
    return open;
  }
}

function continues(one: Extent, next: Extent): boolean {
  return (
    one.end === next.start &&
    one.status === next.status &&
    one.depth === next.depth &&
    one.compressed === next.compressed &&
    (one.fileOffset === undefined ? next.fileOffset === undefined : one.fileOffset + (one.end - one.start) === next.fileOffset)
  );
}
