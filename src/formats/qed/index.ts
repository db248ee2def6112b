/** QED: the public interface of this format. */
export type { QedCensus } from './census.ts';
export { type QedHeader, readQedHeader } from './header.ts';
export { openQed, type QedImage } from './image.ts';
export { WITHOUT_TABLE as QED_WITHOUT_TABLE } from './tables.ts';
