/** VDI in the registry of formats. */
import type { Range } from '#base';
import type { FormatDriver, Head } from '../driver.ts';
import { openVdi } from './image.ts';
import { HEADER } from './layout.ts';

export const vdiDriver = {
  name: 'vdi',
  signatures: [{ at: 64, bytes: '\x7f\x10\xda\xbe' }],
  extensions: ['vdi'],
  qemuDriver: 'vdi',
  hasQemuBacking: false,
  metadataRanges,
  open: async (file, signal) => {
    const { device, header } = await openVdi(file, signal);
    return { device, isWholeInFile: header.imageType === 'static' };
  },
} as const satisfies FormatDriver;

/** The block map. */
function* metadataRanges({ view }: Head): Generator<Range> {
  const { offsetBmap, blocksInImage } = HEADER.read(view);
  yield { start: offsetBmap, end: offsetBmap + blocksInImage * 4 };
}
