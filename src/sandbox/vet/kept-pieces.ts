/** What is kept of a stream that goes by once: its two ends, and the places between them that were announced in time. */
import { joinRanges, PlimsollError, type Range, sortRanges } from '#base';
import { type ReadableDevice, readableDevice } from '#block';

/** Kept of the beginning: the header regions of every format, and the first tables. */
export const HEAD_BYTES = 4 * 1024 * 1024;
/** Kept of the end: footers, backup tables, and the last two labels of a ZFS. */
const TAIL_BYTES = 1024 * 1024;
/**
 * Kept between them, whatever an image announces. A qcow2 of 64 KiB clusters has a table of 64 KiB for each 512 MiB of its
 * disk, a sparse VMDK two of 2 KiB for each 32 MiB: enough for some 400 GiB of the first and 500 GiB of the other.
 */
export const MAX_ANNOUNCED_BYTES = 64 * 1024 * 1024;
/** Memory is taken in pieces of this size, when they begin to arrive: an announcement alone costs nothing. */
const PIECE_BYTES = 1024 * 1024;
/** An image that announces more places than this has the first of them kept. */
const MAX_PLACES = 65_536;

interface Piece {
  readonly start: number;
  readonly end: number;
  content: Uint8Array | undefined;
}

/** The runs that lie behind the head: ascending, apart from each other, as many of them as are kept. */
export function placesToKeep(runs: Iterable<Range>): Range[] {
  const behind = [...runs]
    .filter(({ end }) => Number.isSafeInteger(end))
    .map(({ start, end }) => ({ start: Math.max(start, HEAD_BYTES), end }));
  const merged = [...joinRanges(sortRanges(behind))];
  let room = MAX_ANNOUNCED_BYTES;
  return merged.slice(0, MAX_PLACES).flatMap(({ start, end }) => {
    const kept = Math.min(room, end - start);
    room -= kept;
    return kept === 0 ? [] : [{ start, end: start + kept }];
  });
}

export class KeptPieces {
  readonly #head = new Uint8Array(HEAD_BYTES);
  /** The last bytes stand before `#tailEnd`; when it is full, they move to the front. */
  readonly #tail = new Uint8Array(2 * TAIL_BYTES);
  #tailEnd = 0;
  /** Ascending, none overlapping another. */
  #announced: readonly Piece[] = [];
  /** The first announced piece that has not gone by. */
  #next = 0;
  byteLength = 0;

  /** Once, before anything behind the head has come. `places`: from `placesToKeep`. */
  announce(places: readonly Range[]): void {
    this.#announced = places.flatMap(({ start, end }) =>
      Array.from({ length: Math.ceil((end - start) / PIECE_BYTES) }, (_, index): Piece => {
        const at = start + index * PIECE_BYTES;
        return { start: at, end: Math.min(end, at + PIECE_BYTES), content: undefined };
      }),
    );
  }

  push(piece: Uint8Array): void {
    const start = this.byteLength;
    if (start < HEAD_BYTES) this.#head.set(piece.subarray(0, HEAD_BYTES - start), start);
    this.byteLength += piece.byteLength;
    this.#keepAnnounced(piece, start);
    this.#keepLast(piece);
  }

  #keepAnnounced(bytes: Uint8Array, start: number): void {
    const end = start + bytes.byteLength;
    for (let index = this.#next; index < this.#announced.length; index += 1) {
      const place = this.#announced[index] as Piece;
      if (place.start >= end) return;
      const from = Math.max(start, place.start);
      const to = Math.min(end, place.end);
      if (to > from) {
        place.content ??= new Uint8Array(place.end - place.start);
        place.content.set(bytes.subarray(from - start, to - start), from - place.start);
      }
      if (place.end <= end) this.#next = index + 1;
    }
  }

  #keepLast(piece: Uint8Array): void {
    if (piece.byteLength >= TAIL_BYTES) {
      // What was kept before does not border on its last bytes.
      this.#tail.set(piece.subarray(piece.byteLength - TAIL_BYTES));
      this.#tailEnd = TAIL_BYTES;
      return;
    }
    if (this.#tailEnd + piece.byteLength > this.#tail.byteLength) {
      const kept = TAIL_BYTES - piece.byteLength;
      this.#tail.copyWithin(0, this.#tailEnd - kept, this.#tailEnd);
      this.#tailEnd = kept;
    }
    this.#tail.set(piece, this.#tailEnd);
    this.#tailEnd += piece.byteLength;
  }

  /** The stream so far as a device; what was not kept cannot be read: over-budget, STREAM_NOT_KEPT. */
  device(): ReadableDevice {
    const { byteLength } = this;
    return readableDevice({
      byteLength,
      read: async (target, offset, options) => {
        options?.signal?.throwIfAborted();
        const end = Math.min(offset + target.byteLength, byteLength);
        for (let at = offset; at < end; ) {
          const part = this.#from(at);
          if (part === undefined) throw notKept(offset, end);
          const some = part.subarray(0, end - at);
          target.set(some, at - offset);
          at += some.byteLength;
        }
        return Promise.resolve(Math.max(0, end - offset));
      },
    });
  }

  /** What is kept from `at` on without a gap; a part of it, perhaps. */
  #from(at: number): Uint8Array | undefined {
    if (at < HEAD_BYTES) return this.#head.subarray(at, Math.min(HEAD_BYTES, this.byteLength));
    const tail = this.#tail.subarray(0, this.#tailEnd);
    const tailAt = this.byteLength - tail.byteLength;
    if (at >= tailAt) return tail.subarray(at - tailAt);
    const { start, end, content } = this.#pieceAt(at) ?? {};
    if (start === undefined || end === undefined || at >= end) return undefined;
    return content?.subarray(at - start);
  }

  /** The last announced piece that begins at `at` or before. */
  #pieceAt(at: number): Piece | undefined {
    let low = 0;
    let high = this.#announced.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.#announced[middle] as Piece).start <= at) low = middle + 1;
      else high = middle;
    }
    return this.#announced[low - 1];
  }
}

function notKept(offset: number, end: number): PlimsollError {
  return new PlimsollError('over-budget', 'STREAM_NOT_KEPT', {
    doing: 'read stream',
    at: offset,
    found: `${end - offset} bytes that were not retained`,
    expected: `the first ${HEAD_BYTES} bytes, the last ${TAIL_BYTES}, or tables located by the header`,
  });
}
