/** Grain tables, read when they are asked for and checked against their twins. Source: VMware "Virtual Disk Format 5.0", "Grain Tables". */
import type { PlimsollError } from '#base';
import type { BlockDevice } from '#block';
import type { GrainDirectory } from './grain-directory.ts';
import { type Header, viewOf } from './header.ts';
import { GRAIN_MARKER, GRAIN_TABLE_BYTES, GTE_ZEROED, GTES_PER_GT, SECTOR } from './layout.ts';
import { readWhole } from './read-whole.ts';
import { vmdkError } from './vmdk-error.ts';

/** Tables that are kept: 32 MiB of the disk each, with the usual grains. */
const CACHED_TABLES = 16;

/** What the disk has at one grain. A sector is the first one of the grain's data. */
export type GrainEntry = 'unallocated' | 'zero' | { readonly sector: number };

export class GrainTables {
  readonly #file: BlockDevice;
  readonly #header: Header;
  readonly #directory: GrainDirectory;
  /** The most recently used last. */
  readonly #cache = new Map<number, Promise<Uint32Array>>();

  constructor(file: BlockDevice, header: Header, directory: GrainDirectory) {
    this.#file = file;
    this.#header = header;
    this.#directory = directory;
  }

  /** Whether table `index` is there at all. */
  has(index: number): boolean {
    return this.#directory.tables[index] !== 0;
  }

  /**
   * The entries of table `index`, checked; undefined: there is no such table. May be called concurrently.
   *
   * Bounds: reads at most two tables.
   * Throws: corrupt; io, over-budget.
   */
  async load(index: number): Promise<Uint32Array | undefined> {
    if (!this.has(index)) return undefined;
    const known = this.#cache.get(index);
    const table = known ?? this.read(index);
    this.#cache.delete(index);
    this.#cache.set(index, table);
    for (const [oldest] of this.#cache) {
      if (this.#cache.size <= CACHED_TABLES) break;
      this.#cache.delete(oldest);
    }
    try {
      return await table;
    } catch (error) {
      if (this.#cache.get(index) === table) this.#cache.delete(index);
      throw error;
    }
  }

  /** As `load` for a table that is there, past the cache: for one who reads each table once. */
  async read(index: number): Promise<Uint32Array> {
    const offset = (this.#directory.tables[index] as number) * SECTOR;
    const content = await readWhole(this.#file, offset, GRAIN_TABLE_BYTES);
    const redundant = this.#directory.redundant?.[index];
    if (redundant !== undefined) await this.#compare(content, redundant * SECTOR);
    const view = viewOf(content);
    const entries = new Uint32Array(this.entryCount(index));
    for (let entry = 0; entry < entries.length; entry += 1) entries[entry] = view.getUint32(entry * 4, true);
    this.#check(entries, index, offset);
    return entries;
  }

  /** Entries of table `index` that belong to the disk; the last table has more than it needs. */
  entryCount(index: number): number {
    const grains = Math.ceil(this.#header.capacity / this.#header.grainBytes);
    return Math.min(GTES_PER_GT, grains - index * GTES_PER_GT);
  }

  entry(value: number): GrainEntry {
    if (value === 0) return 'unallocated';
    return value === GTE_ZEROED && this.#header.zeroedGrains ? 'zero' : { sector: value };
  }

  async #compare(content: Uint8Array, offset: number): Promise<void> {
    const other = await readWhole(this.#file, offset, GRAIN_TABLE_BYTES);
    const differing = content.findIndex((byte, index) => byte !== other[index]);
    if (differing < 0) return;
    const at = offset + differing - (differing % 4);
    const found = viewOf(other).getUint32(differing - (differing % 4), true);
    throw tableWrong('VMDK_REDUNDANT', at, found, 'the entry of the other grain table');
  }

  /** Every grain inside the file and apart from the image's own structures. */
  #check(entries: Uint32Array, index: number, offset: number): void {
    const { kind, capacity, grainBytes, zeroedGrains } = this.#header;
    const { byteLength } = this.#file;
    for (let entry = 0; entry < entries.length; entry += 1) {
      const sector = entries[entry] as number;
      if (sector === 0 || (sector === GTE_ZEROED && zeroedGrains)) continue;
      const start = (index * GTES_PER_GT + entry) * grainBytes;
      // How long compressed data are says their marker, once it is read.
      const needed = kind === 'stream' ? GRAIN_MARKER.byteLength : Math.min(grainBytes, capacity - start);
      const at = offset + entry * 4;
      if (sector * SECTOR + needed > byteLength)
        throw tableWrong('VMDK_GRAIN', at, sector, `a grain inside the file of ${byteLength} bytes`);
      const other = this.#directory.places.at(sector, sector + Math.ceil(needed / SECTOR));
      if (other !== undefined) throw tableWrong('VMDK_GRAIN', at, sector, `a place of its own, not that of the ${other}`);
    }
  }
}

function tableWrong(code: 'VMDK_REDUNDANT' | 'VMDK_GRAIN', at: number, found: number, expected: string): PlimsollError {
  return vmdkError('corrupt', code, { doing: 'read VMDK grain table', field: 'entry', at }, found, expected);
}
