/** qcow2 in the registry of formats. */
import type { Range } from '#base';
import type { FormatDriver, Head } from '../driver.ts';
import { openQcow2 } from './read/image.ts';
import { ENTRY_BYTES, offsetOf } from './entry.ts';
import { readHeader } from './header.ts';
import { HEADER_V2 } from './layout.ts';

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
  readLayerHeader: readHeader,
  open: async (device) => ({ device: await openQcow2(device, await readHeader(device)), isWholeInFile: false }),
} as const satisfies FormatDriver;

/** The L2 tables and refcount blocks that the first tables name. */
function* metadataRanges({ view, byteLength }: Head): Generator<Range> {
  const header = HEADER_V2.read(view);
  const clusterSize = 2 ** Math.min(header.clusterBits, 21);
  const tables = [
    { start: header.l1TableOffset, end: header.l1TableOffset + header.l1Size * ENTRY_BYTES },
    { start: header.refcountTableOffset, end: header.refcountTableOffset + header.refcountTableClusters * clusterSize },
  ];
  yield* tables;
  for (const { start, end } of tables) {
    for (let at = start; at < end && at + ENTRY_BYTES <= byteLength; at += ENTRY_BYTES) {
      const offset = offsetOf(view.getUint32(at), view.getUint32(at + 4));
      if (offset > 0) yield { start: offset, end: offset + clusterSize };
    }
  }
}
