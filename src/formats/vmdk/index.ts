/** VMDK: monolithicSparse and streamOptimized are read; every other type is described and refused. */
export type { VmdkCensus } from './census.ts';
export type { Descriptor as VmdkDescriptor } from './descriptor.ts';
export type { DescriptorExtent as VmdkExtent, RequestedName as VmdkName } from './extent-line.ts';
export type { Header as VmdkHeader } from './header.ts';
export { openVmdk, openVmdkExtent, readVmdkFacts, type VmdkExtentImage, type VmdkFacts, type VmdkImage } from './image.ts';
export { type ExtentFile as VmdkExtentFile, readSplitDisk, splitDiskOf, type SplitDisk } from './split-disk.ts';
export type { VmdkRequest } from './judge.ts';
