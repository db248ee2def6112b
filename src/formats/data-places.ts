/** Where in a container file the guest's own data lies: what it stored there says nothing about the file. */
import type { ReadableDevice } from '#block';

/**
 * Those of `places` that belong to guest data which is stored as it is.
 *
 * Bounds: one walk over the image's extents, however many places there are; none where there are none.
 * Throws: what reading the image's tables throws; AbortError.
 */
export async function guestDataAmong(image: ReadableDevice, places: readonly number[], signal?: AbortSignal): Promise<Set<number>> {
  const found = new Set<number>();
  const sorted = Float64Array.from(places).sort();
  if (sorted.length === 0) return found;
  for await (const { start, end, fileOffset, compressed } of image.extents(0, image.byteLength, { signal })) {
    if (fileOffset === undefined || compressed) continue;
    const fileEnd = fileOffset + (end - start);
    for (let index = firstFrom(sorted, fileOffset); index < sorted.length; index += 1) {
      const place = sorted[index] as number;
      if (place >= fileEnd) break;
      found.add(place);
    }
  }
  return found;
}

/** Index of the first of the ascending `places` that is not below `least`. */
export function firstFrom(places: Float64Array, least: number): number {
  let low = 0;
  let high = places.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if ((places[middle] as number) < least) low = middle + 1;
    else high = middle;
  }
  return low;
}
