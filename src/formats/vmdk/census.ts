/** What the figures need to know of an image: which grains are there, and where. One walk over all grain tables. */
import type { ReadableDevice } from '#block';
import { ChunkBudget, ClusterSet } from '../clusters/index.ts';
import type { GrainDirectory } from './grain-directory.ts';
import { GrainPlaces } from './grain-places.ts';
import { GrainTables, isWithoutData } from './grain-tables.ts';
import type { Header } from './header.ts';
import { GTES_PER_GT, SECTOR } from './layout.ts';

export interface VmdkCensus {
  readonly header: Header;
  /** Grains of the disk that have data. */
  readonly allocatedGrains: number;
  /** Grains that the image says are zeros. */
  readonly zeroGrains: number;
  /** Grains that take a new place once they are written: those without data, zeros included. */
  readonly needing: number;
  /** Grain tables that are not there, and how many of the needing grains belong to them. */
  readonly missingTables: number;
  readonly needingWithoutTable: number;
  /** Sectors of the tables' entries that belong to the disk, redundant ones included. */
  readonly tableSectors: ClusterSet;
  /** The file in steps of a grain: those that hold data of uncompressed grains. Empty for a stream, which is not written in place. */
  readonly grainSteps: ClusterSet;
  /** First sector of the lowest grain that has data; undefined where none has. */
  readonly lowestGrain: number | undefined;
  /** First sector of a grain that shares its place with another one. Of a stream: that two entries name. */
  readonly sharedGrain: number | undefined;
}

/**
 * The census of an image.
 *
 * Bounds: each table is read once, and its twin.
 * Throws: corrupt; io, over-budget; AbortError.
 */
export async function takeCensus(
  file: ReadableDevice,
  header: Header,
  directory: GrainDirectory,
  signal?: AbortSignal,
): Promise<VmdkCensus> {
  const tables = new GrainTables(file, header, directory);
  const counts = { allocatedGrains: 0, zeroGrains: 0, needing: 0, missingTables: 0, needingWithoutTable: 0 };
  const budget = new ChunkBudget(file.memory);
  const tableSectors = new ClusterSet(budget);
  const grainSteps = new ClusterSet(budget);
  // A compressed grain is as long as its data: of a stream only the beginnings are compared here.
  const places = new GrainPlaces(header.kind === 'stream' ? 1 : header.grainSectors, budget);
  let lowestGrain: number | undefined;
  for (let index = 0; index < header.grainDirectoryEntries; index += 1) {
    signal?.throwIfAborted();
    const entryCount = tables.entryCount(index);
    if (!tables.has(index)) {
      counts.missingTables += 1;
      counts.needing += entryCount;
      counts.needingWithoutTable += entryCount;
      continue;
    }
    const sectors = Math.ceil((entryCount * 4) / SECTOR);
    for (const list of [directory.tables, directory.redundant]) {
      const first = list?.[index];
      if (first !== undefined) tableSectors.addRun(first, first + sectors);
    }
    const table = await tables.read(index);
    for (let entry = 0; entry < table.length; entry += 1) {
      const value = table[entry] as number;
      if (isWithoutData(value, header)) {
        counts.needing += 1;
        if (value !== 0) counts.zeroGrains += 1;
        continue;
      }
      counts.allocatedGrains += 1;
      lowestGrain = Math.min(lowestGrain ?? value, value);
      places.add(value);
      if (header.kind === 'sparse') addSteps(grainSteps, header, (index * GTES_PER_GT + entry) * header.grainBytes, value);
    }
  }
  return { header, ...counts, tableSectors, grainSteps, lowestGrain, sharedGrain: places.shared() };
}

/** A grain that does not begin at a whole step takes part in two. */
function addSteps(steps: ClusterSet, header: Header, start: number, sector: number): void {
  const { grainSectors, grainBytes, capacity } = header;
  const sectors = Math.ceil(Math.min(grainBytes, capacity - start) / SECTOR);
  steps.addRun(Math.floor(sector / grainSectors), Math.ceil((sector + sectors) / grainSectors));
}
