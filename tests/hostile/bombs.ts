/**
 * Images that are small to make and dear to read naively: tables in holes of enormous sparse files, tables that overlap,
 * counts at their bounds, entries scattered over everything.
 */
import { aQcow2, COMPRESSED, COPIED, type Qcow2Builder, type SnapshotChoice } from '../support/qcow2-builder.ts';

export interface Bomb {
  /** `<kind>--<what>`, as in vectors.ts. */
  readonly name: string;
  /** Made when it is needed: some hold tens of megabytes. */
  readonly make: () => Qcow2Builder;
  readonly code?: string;
}

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const PiB = 2 ** 50;
/** Entries of the longest L1 table, 32 MiB. */
const L1_ENTRIES = 4 * MiB;

export const BOMBS: readonly Bomb[] = [
  {
    name: 'corrupt--65536-snapshots-with-overlapping-l1-tables-in-1-pib',
    code: 'QCOW2_OVERLAP',
    make: () =>
      aQcow2()
        .withSnapshots(snapshots((index) => ({ l1TableOffset: GiB + index * 65536, l1Size: L1_ENTRIES })))
        .withLength(PiB),
  },
  {
    name: 'over-budget--65536-snapshots-with-l1-tables-in-holes-of-1-pib',
    code: 'READ_BUDGET',
    make: () =>
      aQcow2()
        .withSnapshots(snapshots((index) => ({ l1TableOffset: GiB + index * 32 * MiB, l1Size: L1_ENTRIES })))
        .withLength(8 * PiB - 65536),
  },
  { name: 'report--65536-snapshots-without-l1', make: () => aQcow2().withSnapshots(snapshots(() => ({}))) },
  {
    name: 'over-budget--4-million-l2-tables-in-holes',
    code: 'READ_BUDGET',
    make: () => l1Image(9, L1_ENTRIES, (index) => 2 ** 40 + index * 512).withLength(PiB),
  },
  {
    name: 'over-budget--2-million-l2-tables-in-holes-64-kib-clusters',
    code: 'READ_BUDGET',
    make: () => l1Image(16, 2 * MiB, (index) => 2 ** 40 + index * 65536).withLength(PiB),
  },
  {
    name: 'over-budget--l2-tables-scattered-over-2-to-53',
    code: 'QCOW2_CLUSTERS_SCATTERED',
    make: () => l1Image(9, L1_ENTRIES, (index) => GiB + index * 2 ** 29).withLength(8 * PiB - 512),
  },
  { name: 'over-budget--l2-entries-scattered-over-2-to-51', code: 'QCOW2_CLUSTERS_SCATTERED', make: scatteredEntries },
  {
    name: 'report--refcount-blocks-in-holes-1-bit',
    make: () => withRefcountBlocks(aQcow2({ clusterBits: 21, refcountOrder: 0 }), 1, 100, () => GiB).withLength(2 ** 40),
  },
  {
    name: 'over-budget--refcounts-alternate-512-byte-clusters',
    code: 'QCOW2_CLUSTERS_SHREDDED',
    make: () => shredded(9, 16384),
  },
  { name: 'over-budget--refcounts-alternate-64-kib-clusters', code: 'QCOW2_CLUSTERS_SHREDDED', make: () => shredded(16, 128) },
  {
    name: 'over-budget--65535-bitmaps-with-one-table',
    code: 'QCOW2_BITMAP_SIZE',
    make: () =>
      aQcow2()
        .withBitmaps(Array.from({ length: 65535 }, (_, index) => ({ name: `b${index}`, tableOffset: 16 * MiB, tableSize: 500 })))
        .withLength(2 ** 40),
  },
  {
    name: 'corrupt--65535-bitmaps-with-2-to-27-entries-each',
    code: 'QCOW2_BITMAP',
    make: () =>
      aQcow2()
        .withBitmaps(Array.from({ length: 65535 }, () => ({ tableOffset: 16 * MiB, tableSize: 2 ** 27 })))
        .withLength(PiB),
  },
  {
    name: 'report--bitmap-as-large-as-can-be',
    make: () =>
      aQcow2({ clusterBits: 9 })
        .withBitmaps([{ tableOffset: 16 * MiB, tableSize: MiB / 2 }])
        .withLength(2 ** 40),
  },
  { name: 'report--8000-bitmaps-with-tables-of-two-clusters', make: manyBitmaps },
  { name: 'report--a-hole-before-every-64th-mib-and-an-l1-of-32-mib', make: sparseRefcounts },
  { name: 'report--4-million-compressed-clusters-64-kib', make: () => compressed(16, 512, 131072) },
  { name: 'report--4-million-compressed-clusters-512-bytes', make: () => compressed(9, 65536, 1024) },
  { name: 'report--dirty-with-refcounts-to-the-last-range', make: dirtyFar },
  {
    name: 'report--l1-of-32-mib-in-a-hole',
    make: () => aQcow2({ clusterBits: 9, capacity: L1_ENTRIES * 64 * 512, l1Size: L1_ENTRIES }).withLength(PiB),
  },
];

function snapshots(choose: (index: number) => SnapshotChoice): SnapshotChoice[] {
  return Array.from({ length: 65536 }, (_, index) => ({ id: String(index), name: 'x', ...choose(index) }));
}

/** An image whose whole L1 table is full of entries. */
function l1Image(clusterBits: number, entryCount: number, offsetOf: (index: number) => number): Qcow2Builder {
  const clusterSize = 2 ** clusterBits;
  const image = aQcow2({ clusterBits, capacity: entryCount * (clusterSize / 8) * clusterSize, l1Size: entryCount });
  const table = Buffer.alloc(entryCount * 8);
  for (let index = 0; index < entryCount; index += 1) table.writeBigUInt64BE(BigInt(offsetOf(index)) + COPIED, index * 8);
  return image.withBytes(image.l1, table);
}

function scatteredEntries(): Qcow2Builder {
  const image = aQcow2({ capacity: 32 * 8192 * 65536 });
  for (let table = 0; table < 32; table += 1) {
    image.withL2(
      table,
      Array.from({ length: 8192 }, (_, entry) => COPIED + BigInt((table * 8192 + entry + 1) * 2 ** 33)),
    );
  }
  return image;
}

/** Blocks at `offsetOf(index) + index clusters`, as refcount table entries [first, first + count). */
function withRefcountBlocks(image: Qcow2Builder, first: number, count: number, offsetOf: () => number): Qcow2Builder {
  for (let index = first; index < first + count; index += 1)
    image.withU64(image.refcountTable + index * 8, offsetOf() + index * image.clusterSize);
  return image;
}

/** 8 MiB of 1-bit refcounts, every second one set. */
function shredded(clusterBits: number, blockCount: number): Qcow2Builder {
  const image = aQcow2({ clusterBits, refcountOrder: 0 });
  const tableClusters = Math.ceil((blockCount * 8) / image.clusterSize);
  const [tableAt, blocksAt] = [16 * MiB, 32 * MiB];
  const table = Buffer.alloc(blockCount * 8);
  for (let index = 0; index < blockCount; index += 1) table.writeBigUInt64BE(BigInt(blocksAt + index * image.clusterSize), index * 8);
  image.withField('refcountTableOffset', tableAt).withField('refcountTableClusters', tableClusters);
  return image
    .withBytes(tableAt, table)
    .withBytes(blocksAt, Buffer.alloc(blockCount * image.clusterSize, 0x55))
    .withLength(blocksAt + blockCount * image.clusterSize);
}

/** Full L2 tables of compressed clusters, each in host clusters of its own, in holes. */
function compressed(clusterBits: number, tableCount: number, step: number): Qcow2Builder {
  const clusterSize = 2 ** clusterBits;
  const perTable = clusterSize / 8;
  const image = aQcow2({ clusterBits, capacity: tableCount * perTable * clusterSize });
  const tablesAt = 128 * MiB;
  const tables = Buffer.alloc(tableCount * clusterSize);
  for (let index = 0; index < tableCount * perTable; index += 1)
    tables.writeBigUInt64BE(COMPRESSED + BigInt(GiB + index * step + clusterSize - 12), index * 8);
  for (let table = 0; table < tableCount; table += 1) image.withL1(table, COPIED + BigInt(tablesAt + table * clusterSize));
  return image.withBytes(tablesAt, tables).withLength(PiB);
}

/** Storing them anew frees half a million single clusters and then asks for pairs. */
function manyBitmaps(): Qcow2Builder {
  const [count, entries, tablesAt, dataAt] = [8000, 65, 64 * MiB, GiB];
  const image = aQcow2({ clusterBits: 9 });
  const tables = Buffer.alloc(count * 1024);
  for (let index = 0; index < count; index += 1) {
    for (let entry = 0; entry < entries; entry += 1)
      tables.writeBigUInt64BE(BigInt(dataAt + (index * entries + entry) * 1024), index * 1024 + entry * 8);
  }
  const bitmaps = Array.from({ length: count }, (_, index) => ({
    name: `b${index}`,
    tableOffset: tablesAt + index * 1024,
    tableSize: entries,
  }));
  return image
    .withBitmaps(bitmaps)
    .withBytes(tablesAt, tables)
    .withLength(dataAt + count * entries * 1024);
}

/** One used cluster in 4096: no hole is long enough for the copy of the L1 table, all are passed over and searched again. */
function sparseRefcounts(): Qcow2Builder {
  const [blockCount, tableAt, blocksAt] = [65536, GiB, 2 * GiB];
  const image = aQcow2({ clusterBits: 9, refcountOrder: 0, l1Size: L1_ENTRIES, capacity: L1_ENTRIES * 64 * 512 });
  const table = Buffer.alloc(blockCount * 8);
  const blocks = Buffer.alloc(blockCount * 512);
  for (let index = 0; index < blockCount; index += 1) {
    table.writeBigUInt64BE(BigInt(blocksAt + index * 512), index * 8);
    blocks[index * 512] = 1;
  }
  image.withField('refcountTableOffset', tableAt).withField('refcountTableClusters', (blockCount * 8) / 512);
  return image.withBytes(tableAt, table).withBytes(blocksAt, blocks).withLength(PiB);
}

/** Marked dirty, with data in the last cluster that a refcount table of 8 MiB reaches: a repair would count to there. */
function dirtyFar(): Qcow2Builder {
  const last = COPIED + (1n << 35n) - 512n;
  return aQcow2({ clusterBits: 9, refcountOrder: 6, capacity: 1024 }).withL2(0, [last]).withField('incompatibleFeatures', 1);
}
