/** The BlockDevice contract and what a filesystem says of a file's storage. */
export { type BlockDevice, memoryDevice } from './device.ts';
export type { Extent, ExtentStatus, ImageDevice } from './image-device.ts';
export { storedBytes, type StorageMap, type StoredRange } from './storage-map.ts';
export type { FileFacts, FilesystemKind, MapGeometry, StorageRules, WriteProtection } from './file-facts.ts';
export { FIRM_GROUND, type Ground, type GroundDoubt, type GroundLimit } from './ground.ts';
export { withReadBudget } from './budget.ts';
export { withPrefix } from './prefix.ts';
export { TableMemory, tableMemoryInForce, withTableMemory } from './table-memory.ts';
