/** Compression and checksums: bytes to bytes, bounded, no I/O. */
export { crc32c } from './crc32c.ts';
export { type DeflateWrapping, inflate, type InflateOptions } from './inflate.ts';
export { loadZstd, type Unzstd, type UnzstdOptions } from './zstd.ts';
