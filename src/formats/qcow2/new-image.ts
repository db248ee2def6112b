/** New qcow2 images: what they can be asked for, where everything lies, and the bytes. */
export { type FileChunk, newQcow2Chunks, zeros as zeroChunks } from './new-image-chunks.ts';
export type { NewBacking } from './new-image-header.ts';
export { NEW_QCOW2_DEFAULTS, type NewQcow2Geometry, type NewQcow2Options, type Preallocation } from './new-image-options.ts';
export { type NewQcow2Plan, planNewQcow2 } from './new-image-plan.ts';
export { l1Tail, neverWritten, storedBytes, storedBytesOf, writtenTail } from './new-image-storage.ts';
