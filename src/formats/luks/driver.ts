/** LUKS in the registry of formats. */
import type { FormatDriver } from '../driver.ts';
import { openLuks } from './image.ts';
import { MAGIC } from './layout.ts';

export const luksDriver = {
  name: 'luks',
  signatures: [{ at: 0, bytes: MAGIC }],
  extensions: ['luks'],
  qemuDriver: 'luks',
  hasQemuBacking: false,
  isEncrypted: true,
  open: async (device) => ({ device: (await openLuks(device)).device, isWholeInFile: false }),
} as const satisfies FormatDriver;
