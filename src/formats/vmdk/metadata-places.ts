/** Where an image's own structures lie, so that none lies in another and no grain lies in one. Units: sectors. */
import type { PlimsollError } from '#base';
import { GRAIN_TABLE_SECTORS, SECTOR } from './layout.ts';
import { vmdkError } from './vmdk-error.ts';

/** A structure of which there is one. */
export interface FixedPlace {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

/** The header, the descriptor, the directories, and the grain tables that these point at. */
export class MetadataPlaces {
  readonly #fixed: readonly FixedPlace[];
  /** First sectors of the grain tables, ascending. */
  readonly #tables: Uint32Array;
  /** No structure reaches past it: nearly all grains lie behind. */
  readonly #end: number;

  /**
   * `tables`: first sectors of all grain tables, in any order; it is sorted here.
   *
   * Throws: corrupt, when two structures share a sector.
   */
  constructor(fixed: readonly FixedPlace[], tables: Uint32Array) {
    this.#fixed = fixed;
    this.#tables = tables.sort();
    for (let index = 1; index < tables.length; index += 1) {
      const first = tables[index] as number;
      if (first < (tables[index - 1] as number) + GRAIN_TABLE_SECTORS) throw sharedTable(first);
    }
    for (const [index, one] of fixed.entries()) {
      const other = fixed.slice(index + 1).find(({ start, end }) => start < one.end && end > one.start)?.name;
      const found = other ?? (this.#meetsTable(one.start, one.end) ? 'grain table' : undefined);
      if (found !== undefined) throw overlap(`${one.name} and ${found}`, Math.max(one.start, 0));
    }
    const last = tables.at(-1);
    this.#end = Math.max(...fixed.map(({ end }) => end), last === undefined ? 0 : last + GRAIN_TABLE_SECTORS);
  }

  /** What lies in one of the sectors [start, end); undefined: nothing of the image's own. */
  at(start: number, end: number): string | undefined {
    if (start >= this.#end) return undefined;
    const fixed = this.#fixed.find((one) => start < one.end && end > one.start);
    return fixed?.name ?? (this.#meetsTable(start, end) ? 'grain table' : undefined);
  }

  /** What lies in one of the sectors [start, end) beside the structure called `name`; undefined: nothing of the image's own. */
  beside(name: string, start: number, end: number): string | undefined {
    const fixed = this.#fixed.find((one) => one.name !== name && start < one.end && end > one.start);
    return fixed?.name ?? (this.#meetsTable(start, end) ? 'grain table' : undefined);
  }

  #meetsTable(start: number, end: number): boolean {
    const tables = this.#tables;
    let low = 0;
    let high = tables.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((tables[middle] as number) + GRAIN_TABLE_SECTORS > start) high = middle;
      else low = middle + 1;
    }
    return low < tables.length && (tables[low] as number) < end;
  }
}

function sharedTable(sector: number): PlimsollError {
  const place = { doing: 'read VMDK grain directory', field: 'grain table', at: sector * SECTOR };
  return vmdkError('corrupt', 'VMDK_GRAIN_TABLE_TWICE', place, 'a table that another entry uses too', 'tables of their own');
}

function overlap(found: string, sector: number): PlimsollError {
  const place = { doing: 'read VMDK grain directory', field: 'structures', at: sector * SECTOR };
  return vmdkError('corrupt', 'VMDK_OVERLAP', place, found, 'places of their own');
}
