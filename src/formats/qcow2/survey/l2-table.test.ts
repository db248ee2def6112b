import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aQcow2, bigEndian, COMPRESSED, COPIED } from '../../../../tests/support/qcow2-builder.ts';
import { type Header, parseHeader } from '../header.ts';
import { visitL2Table } from './l2-table.ts';

type Event = ['inPlace', number, number, number] | ['needing', number] | ['shared', number] | ['compressed', number, number, number];

function headerOf(choice: Parameters<typeof aQcow2>[0]): Header {
  const image = aQcow2(choice);
  return parseHeader(image.bytes().subarray(0, 4096), image.length) as Header;
}

function visit(entries: readonly bigint[], header: Header, entryCount = entries.length / (header.extendedL2 ? 2 : 1)): Event[] {
  const table = new Uint8Array(header.clusterSize);
  for (const [index, entry] of entries.entries()) table.set(bigEndian(entry, 8), index * 8);
  const events: Event[] = [];
  visitL2Table(table, entryCount, header, 0x10000, {
    inPlace: (cluster, count, first) => events.push(['inPlace', cluster, count, first]),
    needing: (count) => events.push(['needing', count]),
    sharedData: (cluster) => events.push(['shared', cluster]),
    compressed: (offset, length, entryAt) => events.push(['compressed', offset, length, entryAt]),
  });
  return events;
}

describe('visitL2Table()', () => {
  const header = headerOf({ clusterBits: 16 });
  const cluster = (index: number): bigint => BigInt(index) << 16n;

  it.each<[string, bigint[], Event[]]>([
    ['nothing', [0n, 0n], [['needing', 2]]],
    ['data in place', [COPIED + cluster(5)], [['inPlace', 5, 1, 0]]],
    ['neighbours in place as one run', [COPIED + cluster(5), COPIED + cluster(6), COPIED + cluster(7)], [['inPlace', 5, 3, 0]]],
    [
      'places that are no neighbours',
      [COPIED + cluster(6), COPIED + cluster(5)],
      [
        ['inPlace', 6, 1, 0],
        ['inPlace', 5, 1, 1],
      ],
    ],
    [
      'data shared with a snapshot',
      [cluster(9)],
      [
        ['shared', 9],
        ['needing', 1],
      ],
    ],
    ['plain zeros', [1n], [['needing', 1]]],
    ['zeros with a cluster of their own', [COPIED + cluster(5) + 1n], [['inPlace', 5, 1, 0]]],
    [
      'zeros with a shared cluster',
      [cluster(5) + 1n],
      [
        ['shared', 5],
        ['needing', 1],
      ],
    ],
    ['COPIED without a cluster', [COPIED], [['needing', 1]]],
    ['reserved bits', [0x3f000000000001fen], [['needing', 1]]],
    ['compressed with COPIED is compressed all the same', [COPIED + COMPRESSED + 512n], [['compressed', 512, 512, 0x10000]]],
    [
      'a gap between',
      [COPIED + cluster(5), 0n, COPIED + cluster(6)],
      [
        ['inPlace', 5, 1, 0],
        ['needing', 1],
        ['inPlace', 6, 1, 2],
      ],
    ],
  ])('%s', (_what, entries, events) => {
    expect(visit(entries, header)).toEqual(events);
  });

  it('looks at no more entries than it is told to', () => {
    expect(visit([0n, COPIED + cluster(5), 512n], header, 1)).toEqual([['needing', 1]]);
  });

  it('with extended L2 takes every second word for a bitmap', () => {
    const extended = headerOf({ clusterBits: 16, extendedL2: true });
    const allOnes = 2n ** 64n - 1n;
    expect(visit([COPIED + cluster(5), allOnes, 0n, allOnes, COPIED + cluster(6), 0n], extended)).toEqual([
      ['inPlace', 5, 1, 0],
      ['needing', 1],
      ['inPlace', 6, 1, 2],
    ]);
  });

  it('with an external data file takes offset 0 for a place', () => {
    expect(visit([COPIED, COPIED + cluster(1), 0n], { ...header, externalDataFile: true })).toEqual([
      ['inPlace', 0, 2, 0],
      ['needing', 1],
    ]);
  });

  it.each<[string, bigint, number]>([
    ['in place, unaligned', COPIED + cluster(5) + 512n, 0x10000],
    ['shared, unaligned', cluster(5) + 0x8000n, 0x10000],
    ['in place, behind what refcounts reach', COPIED + (1n << 51n), 0x10000],
    ['shared, behind what refcounts reach', 1n << 55n, 0x10000],
  ])('refuses an offset %s', (_what, entry, at) => {
    expect(() => visit([entry], header)).toThrow(
      expect.objectContaining({ kind: 'corrupt', code: 'QCOW2_L2_ENTRY', where: expect.objectContaining({ at }) }),
    );
  });

  it('refuses a run at the entry where it leaves what refcounts reach', () => {
    const last = (1n << 51n) - cluster(1);
    expect(visit([COPIED + last], header)).toEqual([['inPlace', 2 ** 35 - 1, 1, 0]]);
    expect(() => visit([COPIED + last, COPIED + last + cluster(1)], header)).toThrow(
      expect.objectContaining({ where: expect.objectContaining({ at: 0x10008 }) }),
    );
  });

  it.each(Array.from({ length: 13 }, (_, index) => 9 + index))(
    'divides a compressed descriptor as the specification does: cluster_bits %i',
    (clusterBits) => {
      const offsetBits = BigInt(62 - (clusterBits - 8));
      const sectorBits = 62 - Number(offsetBits);
      const offset = fc.maxSafeNat().map((value) => BigInt(value) % 2n ** (offsetBits < 53n ? offsetBits : 53n));
      const sectors = fc.nat({ max: 2 ** sectorBits - 1 });
      const own = headerOf({ clusterBits });
      fc.assert(
        fc.property(offset, sectors, (at, further) => {
          const entry = COMPRESSED + (BigInt(further) << offsetBits) + at;
          expect(visit([entry], own)).toEqual([['compressed', Number(at), (further + 1) * 512 - Number(at % 512n), 0x10000]]);
        }),
      );
    },
  );

  it('accounts for every entry of any table', () => {
    const entry = fc.oneof(
      fc.constant(0n),
      fc.constant(1n),
      fc.nat({ max: 20 }).map((at) => COPIED + cluster(at)),
      fc.nat({ max: 20 }).map((at) => cluster(at)),
      fc.nat({ max: 2 ** 20 }).map((at) => COMPRESSED + BigInt(at)),
    );
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 64 }), (entries) => {
        const events = visit(entries, header);
        const count = events.reduce(
          (sum, event) => sum + (event[0] === 'inPlace' ? event[2] : event[0] === 'needing' ? event[1] : event[0] === 'compressed' ? 1 : 0),
          0,
        );
        expect(count).toBe(entries.length);
        const inPlace = entries.flatMap((one, index) => (one >= COPIED && one !== COPIED ? [[index, Number((one - COPIED) >> 16n)]] : []));
        const visited = events.flatMap((event) =>
          event[0] === 'inPlace' ? Array.from({ length: event[2] }, (_, by) => [event[3] + by, event[1] + by]) : [],
        );
        expect(visited).toEqual(inPlace);
        expect(events.filter((event) => event[0] === 'shared').map((event) => event[1])).toEqual(
          entries.filter((one) => one < COMPRESSED && one >= 512n).map((one) => Number(one >> 16n)),
        );
      }),
    );
  });
});
