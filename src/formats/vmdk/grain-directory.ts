/** The grain directory and its redundant twin, read whole and checked. Source: VMware "Virtual Disk Format 5.0", "Grain Directory". */
import { divideUp, type PlimsollError } from '#base';
import { type ReadableDevice, readExactly } from '#block';
import { FOOTER_BYTES, type Header, viewOf } from './header.ts';
import { GRAIN_TABLE_BYTES, SECTOR } from './layout.ts';
import { type FixedPlace, MetadataPlaces } from './metadata-places.ts';
import { vmdkError } from './vmdk-error.ts';

const DOING = 'read VMDK grain directory';
/** A directory is read in pieces of at most this size. */
const READ_BYTES = 1024 * 1024;

/** First sector of each grain table, 0 where there is none. */
export interface GrainDirectory {
  readonly tables: Uint32Array;
  /** The redundant tables, each beside the one that it repeats. */
  readonly redundant: Uint32Array | undefined;
  readonly places: MetadataPlaces;
}

/**
 * Both directories: all tables inside the file, none used twice, none where another structure lies, and the redundant
 * directory with tables where the other has them.
 *
 * Bounds: as many entries as the header's limit allows and the file holds.
 * Throws: corrupt; io, over-budget; AbortError.
 */
export async function readGrainDirectory(file: ReadableDevice, header: Header, signal?: AbortSignal): Promise<GrainDirectory> {
  const { grainDirectoryEntries: count, grainDirectoryOffset: offset } = header;
  const redundantOffset = redundantPlace(header);
  const tables = await readDirectory(file, offset, count, signal);
  const redundant = redundantOffset === undefined ? undefined : await readDirectory(file, redundantOffset, count, signal);
  if (redundant !== undefined && redundantOffset !== undefined) {
    for (let index = 0; index < count; index += 1) {
      if ((tables[index] === 0) === (redundant[index] === 0)) continue;
      const at = redundantOffset + index * 4;
      throw directoryWrong('VMDK_REDUNDANT', at, `${redundant[index]}`, `a table where the other directory has one (${tables[index]})`);
    }
  }
  return { tables, redundant, places: new MetadataPlaces(fixedPlaces(file, header), used(tables, redundant)) };
}

/** undefined: there is none, or it is the directory itself, as some writers say who keep only one. */
function redundantPlace({ grainDirectoryOffset, redundantDirectoryOffset }: Header): number | undefined {
  return redundantDirectoryOffset === grainDirectoryOffset ? undefined : redundantDirectoryOffset;
}

async function readDirectory(file: ReadableDevice, offset: number, count: number, signal?: AbortSignal): Promise<Uint32Array> {
  // Once more for the list of both directories, and for a copy of it.
  file.memory?.take(3 * count * 4);
  const entries = new Uint32Array(count);
  const lastStart = Math.floor((file.byteLength - GRAIN_TABLE_BYTES) / SECTOR);
  for (let first = 0; first < count; first += READ_BYTES / 4) {
    signal?.throwIfAborted();
    const some = Math.min(READ_BYTES / 4, count - first);
    const view = viewOf(await readExactly(file, offset + first * 4, some * 4, 'VMDK_TRUNCATED', 'read VMDK image'));
    for (let index = 0; index < some; index += 1) {
      const entry = view.getUint32(index * 4, true);
      if (entry > lastStart)
        throw directoryWrong(
          'VMDK_GRAIN_TABLE',
          offset + (first + index) * 4,
          `${entry}`,
          `a table inside the file, from sector ${lastStart} on none`,
        );
      entries[first + index] = entry;
    }
  }
  return entries;
}

function fixedPlaces(file: ReadableDevice, header: Header): FixedPlace[] {
  const { grainDirectoryOffset, descriptorOffset, descriptorLength } = header;
  const redundantDirectoryOffset = redundantPlace(header);
  const place = (name: string, offset: number, byteLength: number): FixedPlace => {
    const start = offset / SECTOR;
    return { name, start, end: start + divideUp(byteLength, SECTOR) };
  };
  const directoryBytes = header.grainDirectoryEntries * 4;
  const places = [
    place('header', 0, SECTOR),
    place('descriptor', descriptorOffset, descriptorLength),
    place('grain directory', grainDirectoryOffset, directoryBytes),
  ];
  if (redundantDirectoryOffset !== undefined) places.push(place('redundant grain directory', redundantDirectoryOffset, directoryBytes));
  if (header.hasFooter) places.push(place('footer', file.byteLength - FOOTER_BYTES, FOOTER_BYTES));
  return places;
}

/** The tables of both directories; one that both name at the same index counts once. */
function used(tables: Uint32Array, redundant: Uint32Array | undefined): Uint32Array {
  const list = new Uint32Array(tables.length + (redundant?.length ?? 0));
  let count = 0;
  for (const entries of redundant === undefined ? [tables] : [tables, redundant]) {
    for (const [index, entry] of entries.entries()) {
      if (entry === 0 || (entries === redundant && entry === tables[index])) continue;
      list[count] = entry;
      count += 1;
    }
  }
  return list.slice(0, count);
}

function directoryWrong(code: 'VMDK_REDUNDANT' | 'VMDK_GRAIN_TABLE', at: number, found: string, expected: string): PlimsollError {
  return vmdkError('corrupt', code, { doing: DOING, field: 'entry', at }, found, expected);
}
