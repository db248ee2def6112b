/**
 * L1 and L2 tables of one state of an image, read in slices when they are needed. Memory is bounded whatever the image says:
 * 16 slices of L2 tables and 4 of the L1 table, each at most 64 KiB. Source: qcow2 spec, "Cluster mapping".
 */
import type { ReadableDevice } from '#block';
import { ENTRY_BYTES, offsetOf } from '../entry.ts';
import type { Header } from '../header.ts';
import type { L2Slice } from './mapping.ts';
import { requireL2Table } from './table-location.ts';
import { readTable } from './table-reader.ts';

/** Where the L1 table of a state lies; inside the file, checked. */
export interface MappedState {
  /** Bytes of the disk in this state. */
  readonly capacity: number;
  readonly l1TableOffset: number;
  /** Entries. */
  readonly l1Size: number;
}

const SLICE_BYTES = 64 * 1024;
const L2_SLICES = 16;
const L1_SLICES = 4;

export class MappingTables {
  readonly #device: ReadableDevice;
  readonly #header: Header;
  readonly #state: MappedState;
  /** Guest bytes of an L2 table, and of a slice of one. */
  readonly #tableSpan: number;
  readonly #sliceSpan: number;
  readonly #l2 = new RecentlyUsed<L2Slice>(L2_SLICES);
  readonly #l1 = new RecentlyUsed<DataView>(L1_SLICES);

  constructor(device: ReadableDevice, header: Header, state: MappedState) {
    this.#device = device;
    this.#header = header;
    this.#state = state;
    this.#tableSpan = header.l2Entries * header.clusterSize;
    this.#sliceSpan = this.#tableSpan / Math.max(1, header.clusterSize / SLICE_BYTES);
  }

  /**
   * The slice that maps the guest byte at `guestOffset`, which is below the capacity. No promise when it is at hand.
   *
   * Throws: corrupt, when an L1 entry points outside of the file or not at a cluster; io, over-budget.
   */
  sliceAt(guestOffset: number): L2Slice | Promise<L2Slice> {
    const known = this.#l2.get(Math.floor(guestOffset / this.#sliceSpan));
    if (known !== undefined) return known;
    const l1Index = Math.floor(guestOffset / this.#tableSpan);
    if (l1Index >= this.#state.l1Size) return this.#nothing(l1Index, this.#state.capacity);
    const l1Slice = Math.floor(l1Index / (SLICE_BYTES / ENTRY_BYTES));
    const l1 = this.#l1.get(l1Slice) ?? this.#l1.add(l1Slice, this.#readL1(l1Slice));
    return l1 instanceof Promise ? l1.then((entries) => this.#below(entries, guestOffset)) : this.#below(l1, guestOffset);
  }

  async #readL1(slice: number): Promise<DataView> {
    const { l1TableOffset, l1Size } = this.#state;
    const offset = slice * SLICE_BYTES;
    const bytes = await readTable(this.#device, l1TableOffset + offset, Math.min(SLICE_BYTES, l1Size * ENTRY_BYTES - offset), 'L1 table');
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** `entries`: the slice of the L1 table that speaks of `guestOffset`. */
  #below(entries: DataView, guestOffset: number): L2Slice | Promise<L2Slice> {
    const l1Index = Math.floor(guestOffset / this.#tableSpan);
    const index = l1Index % (SLICE_BYTES / ENTRY_BYTES);
    const tableOffset = l2TableOffset(entries, index);
    if (tableOffset !== 0) {
      this.#check(tableOffset, l1Index);
      const slice = Math.floor(guestOffset / this.#sliceSpan);
      // Another reader may have waited for the same part of the L1 table and been first.
      return this.#l2.get(slice) ?? this.#l2.add(slice, this.#readL2(slice, tableOffset, l1Index));
    }
    let next = index + 1;
    while (next * ENTRY_BYTES < entries.byteLength && l2TableOffset(entries, next) === 0) next += 1;
    return this.#nothing(l1Index, (l1Index - index + next) * this.#tableSpan);
  }

  async #readL2(slice: number, tableOffset: number, l1Index: number): Promise<L2Slice> {
    const byteLength = Math.min(SLICE_BYTES, this.#header.clusterSize);
    const start = slice * this.#sliceSpan;
    const fileOffset = tableOffset + ((start - l1Index * this.#tableSpan) / this.#sliceSpan) * byteLength;
    const bytes = await readTable(this.#device, fileOffset, byteLength, 'L2 table');
    const entries = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return { start, end: Math.min(this.#state.capacity, start + this.#sliceSpan), entries, fileOffset, l1Index };
  }

  #nothing(l1Index: number, end: number): L2Slice {
    const start = l1Index * this.#tableSpan;
    return { start, end: Math.min(this.#state.capacity, end), entries: undefined, fileOffset: 0, l1Index };
  }

  #check(tableOffset: number, l1Index: number): void {
    const entryAt = this.#state.l1TableOffset + l1Index * ENTRY_BYTES;
    requireL2Table(tableOffset, this.#header, { entryAt, fileLength: this.#device.byteLength });
  }
}

function l2TableOffset(entries: DataView, index: number): number {
  return offsetOf(entries.getUint32(index * ENTRY_BYTES), entries.getUint32(index * ENTRY_BYTES + 4));
}

/** Values by number; of more than `most` the one that was not asked for the longest is given up. */
class RecentlyUsed<T> {
  readonly #most: number;
  /** A Map remembers the order in which its keys were set. */
  readonly #values = new Map<number, T | Promise<T>>();
  #latest = -1;

  constructor(most: number) {
    this.#most = most;
  }

  get(key: number): T | Promise<T> | undefined {
    const value = this.#values.get(key);
    if (value === undefined || key === this.#latest) return value;
    this.#values.delete(key);
    this.#values.set(key, value);
    this.#latest = key;
    return value;
  }

  /** Keeps what `coming` brings; what fails is asked for anew the next time. */
  add(key: number, coming: Promise<T>): Promise<T> {
    this.#values.set(key, coming);
    this.#latest = key;
    for (const oldest of this.#values.keys()) {
      if (this.#values.size <= this.#most) break;
      this.#values.delete(oldest);
    }
    const settle = (value: T | undefined): void => {
      if (this.#values.get(key) !== coming) return;
      if (value === undefined) this.#values.delete(key);
      else this.#values.set(key, value);
    };
    coming.then(settle, () => settle(undefined));
    return coming;
  }
}
