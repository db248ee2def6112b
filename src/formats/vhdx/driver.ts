/** VHDX in the registry of formats. */
import type { Range } from '#base';
import type { FormatDriver, Head } from '../driver.ts';
import { openVhdx } from './image.ts';
import { HEADER, HEADER_OFFSETS, REGION_TABLE_BYTES, REGION_TABLE_ENTRY, REGION_TABLE_HEADER, REGION_TABLE_OFFSETS } from './layout.ts';

export const vhdxDriver = {
  name: 'vhdx',
  signatures: [{ at: 0, bytes: 'vhdxfile' }],
  extensions: ['vhdx'],
  qemuDriver: 'vhdx',
  hasQemuBacking: false,
  metadataRanges,
  open: async (device) => ({ device: await openVhdx(device), isWholeInFile: false }),
} as const satisfies FormatDriver;

/** The log, and the regions; of the two copies of each, both. */
function* metadataRanges({ view }: Head): Generator<Range> {
  for (const at of HEADER_OFFSETS) {
    const { logOffset, logLength } = HEADER.read(view, at);
    yield { start: logOffset, end: logOffset + logLength };
  }
  const mostEntries = Math.floor((REGION_TABLE_BYTES - REGION_TABLE_HEADER.byteLength) / REGION_TABLE_ENTRY.byteLength);
  for (const table of REGION_TABLE_OFFSETS) {
    const { entryCount } = REGION_TABLE_HEADER.read(view, table);
    for (let index = 0; index < Math.min(entryCount, mostEntries); index += 1) {
      const at = table + REGION_TABLE_HEADER.byteLength + index * REGION_TABLE_ENTRY.byteLength;
      const { fileOffset, length } = REGION_TABLE_ENTRY.read(view, at);
      yield { start: fileOffset, end: fileOffset + length };
    }
  }
}
