/** Compression: bytes to bytes, bounded, no I/O. */
export { type DeflateWrapping, inflate, type InflateOptions } from './inflate.ts';
export { loadZstd, type Unzstd, type UnzstdOptions } from './zstd.ts';
