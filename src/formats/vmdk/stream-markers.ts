/**
 * The markers of a stream's grains. QEMU takes a grain from the grain tables and ignores whose marker it finds; others compare,
 * or take the grains one after the other and ignore the tables. All of them see one disk only where markers and tables agree.
 */
import { type ReadableDevice, readExactly } from '#block';
import { markedSize } from './compressed-grain.ts';
import type { GrainDirectory } from './grain-directory.ts';
import { GrainTables, isWithoutData } from './grain-tables.ts';
import type { Header } from './header.ts';
import { GRAIN_MARKER, GTES_PER_GT, SECTOR } from './layout.ts';
import { vmdkError } from './vmdk-error.ts';

/** 16 GiB of a disk, with the usual grains. */
const MAX_MARKERS = 2 ** 18;

/**
 * Compares every marker with the entry that leads to it, and the places of all grains with each other.
 *
 * false: there are more than could be compared; of those that were, none is wrong.
 * Bounds: reads each grain table once, and at most 262,144 markers of 12 bytes.
 * Throws: corrupt; io, over-budget; AbortError.
 */
export async function checkMarkers(
  file: ReadableDevice,
  header: Header,
  directory: GrainDirectory,
  signal?: AbortSignal,
): Promise<boolean> {
  const tables = new GrainTables(file, header, directory);
  const grains: { readonly start: number; readonly end: number }[] = [];
  for (let table = 0; table < header.grainDirectoryEntries; table += 1) {
    if (!tables.has(table)) continue;
    signal?.throwIfAborted();
    for (const [entry, sector] of (await tables.read(table)).entries()) {
      if (isWithoutData(sector, header)) continue;
      if (grains.length === MAX_MARKERS) return false;
      const start = sector * SECTOR;
      const marker = await readExactly(file, start, GRAIN_MARKER.byteLength, 'VMDK_TRUNCATED', 'read VMDK image');
      const size = markedSize(marker, header, table * GTES_PER_GT + entry, start, file.byteLength);
      const end = start + GRAIN_MARKER.byteLength + size;
      const other = directory.places.at(sector, Math.ceil(end / SECTOR));
      if (other !== undefined) throw overlap(start, `data over the ${other}`);
      grains.push({ start, end });
    }
  }
  grains.sort((one, other) => one.start - other.start);
  for (const [index, grain] of grains.entries()) {
    const before = grains[index - 1];
    if (before !== undefined && grain.start < before.end) throw overlap(grain.start, 'a grain inside of another one');
  }
  return true;
}

function overlap(at: number, found: string): Error {
  return vmdkError('corrupt', 'VMDK_GRAIN', { doing: 'read VMDK grain', field: 'place', at }, found, 'a place of its own');
}
