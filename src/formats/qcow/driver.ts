/** qcow version 1 in the registry of formats. */
import type { FormatDriver } from '../driver.ts';
import { readQcowHeader } from './header.ts';
import { openQcow } from './image.ts';

export const qcowDriver = {
  name: 'qcow',
  signatures: [{ at: 0, bytes: 'QFI\xfb\0\0\0\x01' }],
  extensions: ['qcow'],
  qemuDriver: 'qcow',
  hasQemuBacking: true,
  readLayerHeader: readQcowHeader,
  open: async (file, signal) => {
    const { device, header } = await openQcow(file, signal);
    return { device, isWholeInFile: false, backing: header };
  },
} as const satisfies FormatDriver;
