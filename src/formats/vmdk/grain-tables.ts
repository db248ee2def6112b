/** Grain tables, read when they are asked for and checked against their twins. Source: VMware "Virtual Disk Format 5.0", "Grain Tables". */
import type { PlimsollError } from '#base';
import type { ReadableDevice } from '#block';
import type { GrainDirectory } from './grain-directory.ts';
import { type Header, viewOf } from './header.ts';
import { GRAIN_MARKER, GRAIN_TABLE_BYTES, GTE_ZEROED, GTES_PER_GT, SECTOR } from './layout.ts';
import { TableWindow } from './table-window.ts';
import { vmdkError } from './vmdk-error.ts';

/** Tables that are kept: 32 MiB of the disk each, with the usual grains. */
const CACHED_TABLES = 16;

/** What the disk has at one grain. A sector is the first one of the grain's data. */
export type GrainEntry = 'unallocated' | 'zero' | { readonly sector: number };

/** Whether an entry says that its grain has no data: nothing is known of it, or it is zeros. */
export function isWithoutData(value: number, { zeroedGrains }: Header): boolean {
  return value === 0 || (value === GTE_ZEROED && zeroedGrains);
}

export class GrainTables {
  readonly #file: ReadableDevice;
  readonly #header: Header;
  readonly #directory: GrainDirectory;
  readonly #window: TableWindow;
  readonly #redundantWindow: TableWindow;
  /** The most recently used last. */
  readonly #cache = new Map<number, Promise<Uint32Array>>();

  constructor(file: ReadableDevice, header: Header, directory: GrainDirectory) {
    this.#file = file;
    this.#header = header;
    this.#directory = directory;
    this.#window = new TableWindow(file);
    this.#redundantWindow = new TableWindow(file);
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
    const view = viewOf(await this.#window.read(offset));
    const redundant = this.#directory.redundant?.[index];
    if (redundant !== undefined) compare(view, viewOf(await this.#redundantWindow.read(redundant * SECTOR)), redundant * SECTOR);
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
    if (!isWithoutData(value, this.#header)) return { sector: value };
    return value === 0 ? 'unallocated' : 'zero';
  }

  /** Every grain inside the file and apart from the image's own structures. */
  #check(entries: Uint32Array, index: number, offset: number): void {
    const { kind, capacity, grainBytes } = this.#header;
    const { byteLength } = this.#file;
    for (let entry = 0; entry < entries.length; entry += 1) {
      const sector = entries[entry] as number;
      if (isWithoutData(sector, this.#header)) continue;
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

/** Throws at the first entry that the table at `offset` has and the other one has not. */
function compare(view: DataView, other: DataView, offset: number): void {
  for (let at = 0; at < GRAIN_TABLE_BYTES; at += 4) {
    const found = other.getUint32(at, true);
    if (found !== view.getUint32(at, true)) throw tableWrong('VMDK_REDUNDANT', offset + at, found, 'the entry of the other grain table');
  }
}

function tableWrong(code: 'VMDK_REDUNDANT' | 'VMDK_GRAIN', at: number, found: number, expected: string): PlimsollError {
  return vmdkError('corrupt', code, { doing: 'read VMDK grain table', field: 'entry', at }, found, expected);
}
