/** VHD: the public interface of this format. */
export type { VhdParent, VhdParentLocator, VhdParentName } from './dynamic-header.ts';
export { hasTwoSizes as hasTwoVhdSizes, type VhdDiskType, type VhdFooter } from './footer.ts';
export { openVhd, vhdAmbiguousRuns, type VhdBlocks, type VhdImage } from './image.ts';
