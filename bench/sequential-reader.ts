/**
 * Reads all guest bytes of an image from beginning to end and does nothing with them; a contender of sequential-read.ts, which
 * bundles it: `node sequential-reader.js raw|qcow2 <path>`.
 */
import { newHostCache, openImageFile } from '#host';
import { openQcow2, openRaw, readQcow2Header } from '#formats';

const PIECE_BYTES = 2 * 1024 * 1024;

const [format, path = ''] = process.argv.slice(2);
const file = await openImageFile(Buffer.from(path), { cache: newHostCache() });
const image = format === 'raw' ? openRaw(file.device) : await openQcow2(file.device, await readQcow2Header(file.device));
const memory = new Uint8Array(PIECE_BYTES);
let total = 0;
for (let at = 0; at < image.byteLength; at += PIECE_BYTES) total += await image.read(memory, at);
if (total !== image.byteLength) throw new Error(`${total} bytes of ${image.byteLength}`);
await file.close();
