/** VHD in the registry of formats. */
import type { Range } from '#base';
import type { FormatDriver, Head } from '../driver.ts';
import { openVhd } from './image.ts';
import { BAT_UNUSED, DYNAMIC_HEADER, FOOTER, FOOTER_COOKIE, SECTOR } from './layout.ts';

export const vhdDriver = {
  name: 'vhd',
  signatures: [{ at: 0, bytes: FOOTER_COOKIE }],
  extensions: ['vhd', 'vpc'],
  qemuDriver: 'vpc',
  hasQemuBacking: false,
  metadataRanges,
  open: async (file, signal) => {
    const { device, blocks } = await openVhd(file, signal);
    return { device, isWholeInFile: blocks === undefined };
  },
} as const satisfies FormatDriver;

/** The block allocation table, and the sector bitmap in front of each block that it names. */
function* metadataRanges({ view, byteLength }: Head): Generator<Range> {
  const dataOffset = Number(FOOTER.read(view).dataOffset);
  yield { start: dataOffset, end: dataOffset + DYNAMIC_HEADER.byteLength };
  if (dataOffset + DYNAMIC_HEADER.byteLength > byteLength) return;
  const { tableOffset, maxTableEntries, blockSize } = DYNAMIC_HEADER.read(view, dataOffset);
  const tableEnd = tableOffset + maxTableEntries * 4;
  yield { start: tableOffset, end: tableEnd };
  const bitmapBytes = Math.ceil(blockSize / SECTOR / 8 / SECTOR) * SECTOR;
  for (let at = tableOffset; at < tableEnd && at + 4 <= byteLength; at += 4) {
    const sector = view.getUint32(at);
    if (sector !== BAT_UNUSED) yield { start: sector * SECTOR, end: sector * SECTOR + bitmapBytes };
  }
}
