/** QED in the registry of formats. */
import type { FormatDriver } from '../driver.ts';
import { readQedHeader } from './header.ts';
import { openQed } from './image.ts';

export const qedDriver = {
  name: 'qed',
  signatures: [{ at: 0, bytes: 'QED\0' }],
  extensions: ['qed'],
  qemuDriver: 'qed',
  hasQemuBacking: true,
  readLayerHeader: readQedHeader,
  open: async (file, signal) => {
    const { device, header } = await openQed(file, signal);
    return { device, isWholeInFile: false, backing: header };
  },
} as const satisfies FormatDriver;
