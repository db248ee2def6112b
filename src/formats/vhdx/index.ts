/** VHDX version 1: facts, log replay in memory, and the disk as the guest sees it. */
export type { BlockCensus as VhdxBlockCensus } from './bat.ts';
export { hasSignature as hasVhdxSignature, type Header as VhdxHeader } from './header.ts';
export { openVhdx, type PendingLog as VhdxPendingLog, readVhdx, type Vhdx, type VhdxFacts, type VhdxImage } from './image.ts';
export type {
  LocatorEntry as VhdxLocatorEntry,
  LocatorText as VhdxLocatorText,
  ParentLocator as VhdxParentLocator,
} from './parent-locator.ts';
export type { Region as VhdxRegion, Regions as VhdxRegions } from './region-table.ts';
export { writeHazards as vhdxWriteHazards } from './write-hazards.ts';
