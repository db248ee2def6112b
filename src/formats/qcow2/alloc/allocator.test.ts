import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClusterSet } from '../../clusters/index.ts';
import { metadataBlocks, NaiveAllocator, type NaiveGeometry } from '../../../../tests/support/naive-allocator.ts';
import { ClusterAllocator } from './allocator.ts';
import { refcountMetadataBlocks } from './refcount-metadata.ts';

/** A file as it stands: clusters in use, blocks for all of their ranges and some more. */
interface State {
  readonly used: ReadonlySet<number>;
  readonly blocks: ReadonlyMap<number, number>;
  readonly geometry: NaiveGeometry;
}

/** 512-byte clusters with refcounts of 64 to 16 bits: blocks of 64 to 256 entries, tables of 64 entries a cluster. */
const state = fc
  .record({
    blockEntries: fc.constantFrom(64, 128, 256),
    data: fc.uniqueArray(fc.integer({ min: 5, max: 900 }), { maxLength: 200 }),
    spareRanges: fc.uniqueArray(fc.nat({ max: 12 }), { maxLength: 3 }),
  })
  .map(({ blockEntries, data, spareRanges }): State => {
    const geometry = { clusterSize: 512, blockEntries, tableEntries: 64, tableCluster: 1 };
    const used = new Set([0, 1, ...data]);
    const blocks = new Map<number, number>();
    const wanted = [...spareRanges];
    for (let next = wanted.pop() ?? 0; ; next = wanted.pop() as number) {
      if (!blocks.has(next)) {
        let cluster = 2;
        while (used.has(cluster)) cluster += 1;
        used.add(cluster);
        blocks.set(next, cluster);
      }
      for (const cluster of used) if (!blocks.has(Math.floor(cluster / blockEntries))) wanted.push(Math.floor(cluster / blockEntries));
      if (wanted.length === 0) return { used, blocks, geometry };
    }
  });

function setOf(clusters: Iterable<number>): ClusterSet {
  const set = new ClusterSet();
  for (const cluster of clusters) set.add(cluster);
  return set;
}

function bothOf({ used, blocks, geometry }: State): { quick: ClusterAllocator; naive: NaiveAllocator } {
  return { quick: new ClusterAllocator(setOf(used), setOf(blocks.keys()), geometry), naive: new NaiveAllocator(used, blocks, geometry) };
}

const highestOf = (clusters: Iterable<number>): number => Math.max(...clusters) + 1;

describe('ClusterAllocator', () => {
  it('takes the same clusters one by one as QEMU, refcount blocks and the growth of the table included', () => {
    fc.assert(
      fc.property(state, fc.nat({ max: 12_000 }), (at, count) => {
        const { quick, naive } = bothOf(at);
        quick.take(count);
        let last = -1;
        for (let done = 0; done < count; done += 1) last = naive.allocate(1);
        expect(quick.lastTaken).toBe(last);
        expect(quick.tableMoved).toBe(naive.tableMoved);
        expect(new Set(quick.newBlocks)).toEqual(new Set([...naive.blocks.keys()].filter((range) => !at.blocks.has(range))));
        const expected = setOf([...naive.used].filter((cluster) => !at.used.has(cluster)));
        for (const { start, end } of quick.written.runs())
          for (let cluster = start; cluster < end; cluster += 1) if (at.used.has(cluster)) expected.add(cluster);
        expect([...quick.written.runs()]).toEqual([...expected.runs()]);
        if (count > 0) expect(Math.max(highestOf(at.used), quick.highest)).toBe(Math.max(highestOf(at.used), highestOf(naive.used)));
      }),
      { numRuns: 60 },
    );
  });

  it('moves a full table behind everything, and goes on in front of it', () => {
    const geometry = { clusterSize: 512, blockEntries: 64, tableEntries: 64, tableCluster: 1 };
    const { quick, naive } = bothOf({ used: new Set([0, 1, 2]), blocks: new Map([[0, 2]]), geometry });
    quick.take(4096);
    for (let done = 0; done < 4096; done += 1) naive.allocate(1);
    expect([quick.tableMoved, naive.tableMoved]).toEqual([true, true]);
    expect(quick.highest).toBe(highestOf(naive.used));
    expect(quick.highest).toBeGreaterThan(4096 + 64);
  });

  it('takes freed clusters again, lowest first', () => {
    fc.assert(
      fc.property(
        state,
        fc.array(fc.record({ takes: fc.nat({ max: 40 }), frees: fc.nat({ max: 300 }) }), { maxLength: 12 }),
        (at, rounds) => {
          const { quick, naive } = bothOf(at);
          const taken: number[] = [];
          for (const { takes, frees } of rounds) {
            for (let count = 0; count < takes; count += 1) {
              const cluster = naive.allocate(1);
              quick.take(1);
              expect(quick.lastTaken).toBe(cluster);
              taken.push(cluster);
            }
            const [freed] = taken.splice(frees % Math.max(1, taken.length), 1);
            if (freed === undefined) continue;
            naive.free(freed);
            quick.free(freed);
          }
        },
      ),
    );
  });

  it.each([0, 1, 5])('ends where a damaged image frees a cluster that was free already, %i behind the next one', (behind) => {
    const geometry = { clusterSize: 512, blockEntries: 256, tableEntries: 64, tableCluster: 1 };
    const allocator = new ClusterAllocator(setOf([0, 1, 2]), setOf([0]), geometry);
    allocator.free(3 + behind);
    allocator.take(100);
    expect(allocator.written.count()).toBeGreaterThanOrEqual(99);
  });

  it('takes the lower of a free cluster that it has not reached yet and one that was freed above it', () => {
    fc.assert(
      fc.property(
        state,
        fc.array(fc.record({ takes: fc.nat({ max: 40 }), frees: fc.nat({ max: 300 }) }), { minLength: 2, maxLength: 12 }),
        (at, rounds) => {
          const { quick, naive } = bothOf(at);
          const tables = new Set(at.blocks.values());
          const freeable = [...at.used].filter((cluster) => cluster > 1 && !tables.has(cluster));
          for (const { takes, frees } of rounds) {
            const [freed] = freeable.splice(frees % Math.max(1, freeable.length), 1);
            if (freed !== undefined) {
              naive.free(freed);
              quick.free(freed);
            }
            for (let count = 0; count < takes; count += 1) {
              const cluster = naive.allocate(1);
              quick.take(1);
              expect(quick.lastTaken).toBe(cluster);
            }
          }
        },
      ),
    );
  });

  it('takes runs where QEMU does, passing over holes that are too short until the image is opened anew', () => {
    const step = fc.oneof(fc.record({ run: fc.integer({ min: 2, max: 40 }) }), fc.record({ takes: fc.integer({ min: 1, max: 30 }) }));
    fc.assert(
      fc.property(state, fc.array(step, { maxLength: 10 }), (at, all) => {
        const { quick, naive } = bothOf(at);
        for (const one of all) {
          if ('run' in one) expect(quick.takeRun(one.run)).toBe(naive.allocate(one.run));
          else {
            for (let count = 0; count < one.takes; count += 1) {
              const cluster = naive.allocate(1);
              quick.take(1);
              expect(quick.lastTaken).toBe(cluster);
            }
          }
        }
        naive.reopen();
        quick.reopen();
        quick.take(1);
        expect(quick.lastTaken).toBe(naive.allocate(1));
      }),
    );
  });
});

describe('refcountMetadataBlocks()', () => {
  it('agrees with solving for a table that describes itself', () => {
    const geometry = fc.record({ bits: fc.integer({ min: 9, max: 21 }), order: fc.nat({ max: 6 }) });
    fc.assert(
      fc.property(geometry, fc.nat({ max: 2 ** 40 }), ({ bits, order }, clusters) => {
        const one = { clusterSize: 2 ** bits, blockEntries: 2 ** (bits + 3 - order), tableEntries: 0, tableCluster: 0 };
        expect(refcountMetadataBlocks(clusters, one, true)).toBe(metadataBlocks(clusters, one));
      }),
    );
  });
});
