/** New qcow2 images: what they can be asked for, where everything lies, and the bytes. */
export { type FileChunk, newQcow2Chunks, zeros as zeroChunks } from './chunks.ts';
export type { NewBacking } from './header.ts';
export { NEW_QCOW2_DEFAULTS, type NewQcow2Geometry, type NewQcow2Options, type Preallocation } from './options.ts';
export { type NewQcow2Plan, planNewQcow2 } from './layout.ts';
export { factsOfPlan, growthOfPlan } from './growth.ts';
export { storedRange, writtenTail } from './storage.ts';
