/** The check of a qcow2 image before it is attached: everything that QEMU would follow, compared. */
export { checkBitmaps } from './check-bitmaps.ts';
export { headerFaults } from './check-header.ts';
export type { TableCheck } from './check-result.ts';
export { snapshotFaults } from './check-snapshots.ts';
export { checkTables } from './check-tables.ts';
export { decodeCompressed } from './decode-compressed.ts';
export { qemuMemory, totalBytes } from './qemu-memory.ts';
