/** Where this layer takes the layout of new images from: the one place to change when the door of `formats` shows it. */
export {
  type FileChunk, l1Tail, NEW_QCOW2_DEFAULTS, type NewBacking, type NewQcow2Options, type NewQcow2Plan, newQcow2Chunks, neverWritten,
  planNewQcow2, type Preallocation, storedBytes, storedBytesOf, writtenTail, zeroChunks,
} from '../formats/qcow2/new-image.ts';
