/**
 * Predicts where metadata lies from the first bytes of a stream, so that the caller knows which ranges to retain. Nothing is
 * validated: what is wrong with the image is found by its reader.
 */
import { PlimsollError, type Range } from '#base';
import { probe } from './probe.ts';
import { findDriver } from './registry.ts';

/**
 * Ranges of the file that the reader of its format needs, in no order; they may overlap, and may lie anywhere. None for
 * formats without tables, and where the head is cut off.
 *
 * Bounds: at most as many ranges as `head` has table entries.
 */
export function* tablePlaces(head: Uint8Array): Generator<Range> {
  const ranges = findDriver(probe(head)[0]?.format ?? '')?.metadataRanges;
  if (ranges === undefined) return;
  try {
    yield* ranges({ view: new DataView(head.buffer, head.byteOffset, head.byteLength), byteLength: head.byteLength });
  } catch (thrown) {
    // A header that cannot be parsed: its reader reports why.
    if (!(thrown instanceof PlimsollError)) throw thrown;
  }
}
