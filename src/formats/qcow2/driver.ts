/** qcow2 in the registry of formats. */
import type { Range } from '#base';
import type { FormatDriver, Head } from '../driver.ts';
import { readHeader } from './census.ts';
import { openQcow2 } from './image.ts';
import { HEADER_V2 } from './layout.ts';

const SECTOR = 512;

export const qcow2Driver = {
  name: 'qcow2',
  signatures: [
    { at: 0, bytes: 'QFI\xfb\0\0\0\x02' },
    { at: 0, bytes: 'QFI\xfb\0\0\0\x03' },
  ],
  extensions: ['qcow2', 'qcow'],
  qemuDriver: 'qcow2',
  hasQemuBacking: true,
  metadataRanges,
  open: async (device) => ({ device: await openQcow2(device, await readHeader(device)), isWholeInFile: false }),
} as const satisfies FormatDriver;

/** The L2 tables and refcount blocks that the first tables name. */
function* metadataRanges({ view, byteLength }: Head): Generator<Range> {
  const header = HEADER_V2.read(view);
  const clusterSize = 2 ** Math.min(header.clusterBits, 21);
  const tables = [
    { start: header.l1TableOffset, end: header.l1TableOffset + header.l1Size * 8 },
    { start: header.refcountTableOffset, end: header.refcountTableOffset + header.refcountTableClusters * clusterSize },
  ];
  yield* tables;
  for (const { start, end } of tables) {
    for (let at = start; at < end && at + 8 <= byteLength; at += 8) {
      const offset = offsetOf(view.getUint32(at), view.getUint32(at + 4));
      if (offset > 0) yield { start: offset, end: offset + clusterSize };
    }
  }
}

/** Bits 9 to 55 of an entry: qcow2 spec, "L1 table entry" and "Refcount table entry". */
function offsetOf(high: number, low: number): number {
  return (high % 2 ** 24) * 2 ** 32 + low - (low % SECTOR);
}
