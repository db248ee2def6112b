/** Which places of the file belong to grains, compressed ones included. */
import { type ReadableDevice, readExactly } from '#block';
import { firstFrom } from '../data-places.ts';
import type { GrainDirectory } from './grain-directory.ts';
import { GrainTables, isWithoutData } from './grain-tables.ts';
import { type Header, viewOf } from './header.ts';
import { GRAIN_MARKER, SECTOR } from './layout.ts';

/** Grain tables passed over between two looks at the signal. */
const TABLES_AT_ONCE = 65_536;

/**
 * Those of `places` (bytes of the file) that lie in a grain.
 *
 * Bounds: reads each grain table once, and its twin; of a stream a marker for each place.
 * Throws: corrupt; io, over-budget; AbortError.
 */
export async function dataAmong(
  file: ReadableDevice,
  header: Header,
  directory: GrainDirectory,
  places: readonly number[],
  signal?: AbortSignal,
): Promise<Set<number>> {
  const sorted = Float64Array.from(places).sort();
  const nearest = sorted.length === 0 ? sorted : await nearestGrains(file, header, directory, sorted, signal);
  const found = new Set<number>();
  for (const [index, place] of sorted.entries()) {
    const start = nearest[index] as number;
    if (start >= 0 && place < (await grainEnd(file, header, start))) found.add(place);
  }
  return found;
}

/** For each of the ascending `places` where the last grain begins that does not lie behind it; -1 where there is none. */
async function nearestGrains(
  file: ReadableDevice,
  header: Header,
  directory: GrainDirectory,
  places: Float64Array,
  signal: AbortSignal | undefined,
): Promise<Float64Array> {
  const tables = new GrainTables(file, header, directory);
  const nearest = new Float64Array(places.length).fill(-1);
  for (let table = 0; table < header.grainDirectoryEntries; table += 1) {
    if (table % TABLES_AT_ONCE === 0) signal?.throwIfAborted();
    if (!tables.has(table)) continue;
    signal?.throwIfAborted();
    for (const sector of await tables.read(table)) {
      if (isWithoutData(sector, header)) continue;
      const start = sector * SECTOR;
      const index = firstFrom(places, start);
      if (index < nearest.length) nearest[index] = Math.max(nearest[index] as number, start);
    }
  }
  for (let index = 1; index < nearest.length; index += 1) nearest[index] = Math.max(nearest[index] as number, nearest[index - 1] as number);
  return nearest;
}

/** Where the grain ends that begins at byte `start`. */
async function grainEnd(file: ReadableDevice, { kind, grainBytes }: Header, start: number): Promise<number> {
  if (kind === 'sparse') return start + grainBytes;
  const { size } = GRAIN_MARKER.read(
    viewOf(await readExactly(file, start, GRAIN_MARKER.byteLength, 'VMDK_TRUNCATED', 'read VMDK image')),
    0,
    start,
  );
  return start + GRAIN_MARKER.byteLength + Math.min(size, 2 * grainBytes);
}
