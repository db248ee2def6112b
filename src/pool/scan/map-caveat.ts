/** Checks whether the residuals of a store still fit if the extent maps of its files reach their maximum. */
import { formatBytes, USUAL_WRITES } from '#base';
import type { StorageCaveat } from '#block';

export const MAP_MAY_EXCEED = 'MAP_MAY_EXCEED';

/**
 * The caveat that is left where the residuals fit with `headroom` bytes to spare, and the maps can take more.
 *
 * `mapExcess`: bytes that they can take beyond the commitments.
 */
export function mapCaveats(headroom: number, mapExcess: number): StorageCaveat[] {
  if (headroom < 0 || mapExcess <= headroom) return [];
  return [{ level: 'warning', code: MAP_MAY_EXCEED, message: mapCaveatText(headroom, mapExcess), coveredBy: USUAL_WRITES }];
}

export function mapCaveatText(left: number, mapExcess: number): string {
  return `The residuals fit with ${formatBytes(left)} remaining. A guest that writes, zeroes or discards single blocks in a chosen order enlarges the extent map of its file, on this store by up to ${formatBytes(mapExcess)} beyond the commitments, and that does not fit.`;
}
