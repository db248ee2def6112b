/** QED in the registry of formats. */
import type { FormatDriver } from '../driver.ts';
import { openQed } from './image.ts';

export const qedDriver = {
  name: 'qed',
  signatures: [{ at: 0, bytes: 'QED\0' }],
  extensions: ['qed'],
  qemuDriver: 'qed',
  hasQemuBacking: true,
  open: async (device, signal) => ({ device: (await openQed(device, signal)).device, isWholeInFile: false }),
} as const satisfies FormatDriver;
