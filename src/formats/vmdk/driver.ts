/** VMDK in the registry of formats. */
import type { Range } from '#base';
import type { FormatDriver, Head } from '../driver.ts';
import { openVmdk } from './image.ts';
import { GTES_PER_GT, SECTOR, SPARSE_HEADER } from './layout.ts';
import { MAX_WINDOW_BYTES } from './table-window.ts';

export const vmdkDriver = {
  name: 'vmdk',
  signatures: [
    { at: 0, bytes: 'KDMV' },
    { at: 0, bytes: 'COWD' },
    { at: 0, bytes: '# Disk DescriptorFile' },
  ],
  extensions: ['vmdk'],
  qemuDriver: 'vmdk',
  hasQemuBacking: true,
  metadataRanges,
  open: async (device, signal) => ({ device: (await openVmdk(device, signal)).device, isWholeInFile: false }),
} as const satisfies FormatDriver;

/** The directories, and what lies in front of the first grain: all tables of an image that was made in one go. */
function* metadataRanges({ view }: Head): Generator<Range> {
  const header = SPARSE_HEADER.read(view);
  // Tables are read ahead.
  yield { start: 0, end: header.overHead * SECTOR + MAX_WINDOW_BYTES };
  const directoryBytes = Math.ceil(header.capacity / header.grainSize / GTES_PER_GT) * 4;
  for (const sector of [header.gdOffset, header.rgdOffset].map(Number))
    yield { start: sector * SECTOR, end: sector * SECTOR + directoryBytes };
}
