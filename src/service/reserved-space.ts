/**
 * What reservations still hold. An image that has appeared under a reservation's path is counted by what it can come to
 * consume, like any other; its reservation holds only what that does not cover yet, and ends when the image is finished.
 */
import type { Reservation } from '#wire';

/** An image that is under way stays as it is for so long, or is as large as was asked for, before its reservation ends. */
const SETTLED_MS = 10_000;

/** What is there now under a reservation's path. */
export interface Appeared {
  readonly commitment: number;
  readonly openForWriting: boolean;
}

interface Seen {
  readonly commitment: number;
  readonly sinceMs: number;
}

export class ReservedSpace {
  /** By the place of the image: a key that was let go of can be held anew for another image. */
  readonly #seen = new Map<string, Seen>();
  /** Changes whenever what a reservation holds may have changed. */
  revision = 0;

  /**
   * Checks the `held` reservations of a store after a scan. Returns those that their image has fulfilled.
   *
   * `appeared`: the image at a path; undefined where none can be counted.
   */
  look(held: readonly Reservation[], appeared: (path: string) => Appeared | undefined, nowMs: number): Reservation[] {
    return held.filter((reservation) => {
      const image = reservation.path === null ? undefined : appeared(reservation.path);
      if (image === undefined) {
        if (this.#seen.size > 0 && this.#seen.delete(placeOf(reservation))) this.revision += 1;
        return false;
      }
      const before = this.#seen.get(placeOf(reservation));
      const sinceMs = before?.commitment === image.commitment ? before.sinceMs : nowMs;
      this.#seen.set(placeOf(reservation), { commitment: image.commitment, sinceMs });
      this.revision += 1;
      const isSettled = !image.openForWriting && nowMs - sinceMs >= SETTLED_MS;
      return image.commitment >= reservation.bytes || isSettled;
    });
  }

  /** Bytes that `reservation` holds beyond what is counted as its image's commitment. */
  bytesOf(reservation: Reservation): number {
    if (this.#seen.size === 0) return reservation.bytes;
    return Math.max(0, reservation.bytes - (this.#seen.get(placeOf(reservation))?.commitment ?? 0));
  }

  /** There can be one image under a path: of several reservations for it the largest counts. */
  sumOf(held: readonly Reservation[]): number {
    const byPath = new Map<string, number>();
    let sum = 0;
    for (const reservation of held) {
      const { path } = reservation;
      const bytes = this.bytesOf(reservation);
      const known = path === null ? 0 : (byPath.get(path) ?? 0);
      sum += Math.max(0, bytes - known);
      if (path !== null) byPath.set(path, Math.max(bytes, known));
    }
    return sum;
  }

  /** What `held` holds beyond a request of so many bytes for the image under `path`. */
  sumBeside(held: readonly Reservation[], { bytes, path }: { bytes: number; path: string | null }): number {
    const same = path === null ? [] : held.filter((one) => one.path === path);
    const others = same.length === 0 ? held : held.filter((one) => one.path !== path);
    return this.sumOf(others) + Math.max(0, this.sumOf(same) - bytes);
  }

  /** It has ended. Another for the same image counts whole until the next look. */
  forget(reservation: Reservation): void {
    this.revision += 1;
    this.#seen.delete(placeOf(reservation));
  }
}

/** The image it is for; for none, a place that no image has. */
function placeOf({ store, path }: Reservation): string {
  return path === null ? store : `${store}\0${path}`;
}
