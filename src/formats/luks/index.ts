/** LUKS in a file: the header and where the disk lies. */
export type { LuksHeader } from './header.ts';
export { type LuksImage, openLuks } from './image.ts';
export { MAGIC as LUKS_MAGIC } from './layout.ts';
