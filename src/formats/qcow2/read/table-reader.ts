/** Reading tables from the device: whole or not at all, many of one cluster each with neighbours fetched together. */
import { type ReadableDevice, readExactly } from '#block';

/** Neighbouring tables are read in pieces of at most this size. */
const READ_BYTES = 1024 * 1024;
/** Pieces in flight at a time, so that counting one table and fetching the next overlap. */
const READS_AHEAD = 6;

/**
 * The bytes [offset, offset + byteLength), at a position of their buffer that is divisible by 8.
 *
 * Throws: corrupt, when the file ends inside them (it shrank since its header was checked); io, over-budget.
 */
export async function readTable(
  device: ReadableDevice,
  offset: number,
  byteLength: number,
  what: string,
  into?: Uint8Array,
): Promise<Uint8Array> {
  return aligned(await readExactly(device, offset, byteLength, 'QCOW2_TABLE_TRUNCATED', `read qcow2 ${what}`, into));
}

/**
 * The clusters at `clusters`, in that order, one table each, as `[table, next table, ...]` in pieces of up to 1 MiB. A piece is
 * good until the next one is asked for.
 *
 * Throws: corrupt, when the file ends inside one (it shrank meanwhile); io, over-budget.
 */
export async function* readTables(device: ReadableDevice, clusterSize: number, clusters: ArrayLike<number>): AsyncGenerator<Uint8Array[]> {
  const pieces = neighbourhoods(clusters, Math.max(1, READ_BYTES / clusterSize));
  const inFlight: Promise<Uint8Array>[] = [];
  // Memory goes round: a piece is done with when the next one is asked for.
  const memory: Uint8Array[] = [];
  let fetched = 0;
  const fetchNext = (): void => {
    const piece = pieces.next();
    if (piece.done === true) return;
    const { first, count } = piece.value;
    const slot = fetched % (READS_AHEAD + 1);
    fetched += 1;
    // A single table is most often in the device's memory: it is not copied.
    const into = clusters.length === 1 ? undefined : memoryOf(memory, slot, count * clusterSize);
    const reading = Promise.resolve().then(() => readTable(device, first * clusterSize, count * clusterSize, 'table', into));
    // A failure is met when its turn comes; until then it is not unhandled.
    reading.catch(() => undefined);
    inFlight.push(reading);
  };
  for (let count = 0; count < READS_AHEAD; count += 1) fetchNext();
  for (let reading = inFlight.shift(); reading !== undefined; reading = inFlight.shift()) {
    const bytes = await reading;
    fetchNext();
    const tables: Uint8Array[] = [];
    for (let at = 0; at < bytes.byteLength; at += clusterSize) tables.push(bytes.subarray(at, at + clusterSize));
    yield tables;
  }
}

function memoryOf(memory: Uint8Array[], slot: number, byteLength: number): Uint8Array {
  const known = memory[slot];
  if (known !== undefined && known.byteLength >= byteLength) return known;
  const made = new Uint8Array(byteLength);
  memory[slot] = made;
  return made;
}

function* neighbourhoods(clusters: ArrayLike<number>, most: number): Generator<{ first: number; count: number }> {
  let at = 0;
  while (at < clusters.length) {
    const first = clusters[at] as number;
    let count = 1;
    while (count < most && clusters[at + count] === first + count) count += 1;
    yield { first, count };
    at += count;
  }
}

/**
 * Indexes of 8-byte entries that are not zero. Entries are compared as doubles, of which one pattern, with the reserved
 * lowest bits set and nothing else, equals zero too: no table's entry.
 */
export function nonZeroEntries(table: Uint8Array): number[] {
  const entries = new Float64Array(table.buffer, table.byteOffset, table.byteLength / 8);
  const found: number[] = [];
  for (let at = nextNonZero(entries, 0); at < entries.length; at = nextNonZero(entries, at + 1)) found.push(at);
  return found;
}

/** The first index from `at` on whose entry is not zero; the length where there is none. */
export function nextNonZero(entries: Float64Array, at: number): number {
  const end = entries.length;
  let index = at;
  // In short pieces: a function that ends often is compiled as a whole, not replaced inside its loop.
  while (index < end) {
    const stop = Math.min(end, index + 256);
    index = nextNonZeroBefore(entries, index, stop);
    if (index < stop) break;
  }
  return index;
}

function nextNonZeroBefore(entries: Float64Array, at: number, stop: number): number {
  let index = at;
  while (index < stop && entries[index] === 0) index += 1;
  return index;
}

/** The same bytes where views of 16- and 32-bit words can be laid over them. */
function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes);
}
