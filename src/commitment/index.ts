/** The four figures and the arithmetic of commitment; pure. */
export { type Figures, qcow2Figures, rawFigures } from './figures.ts';
export { qcow2CommitGrowth, qedCommitGrowth, rawCommitGrowth } from './commit-growth.ts';
export { vmdkFigures } from './vmdk-figures.ts';
export { vhdxFigures } from './vhdx-figures.ts';
export { hostChargesOfNew, mapBytesAtMost } from './host-charge.ts';
export { append, type Appended } from './qcow2-append.ts';
export { refcountMetadataBlocks, type RefcountGeometry } from './cluster-allocator.ts';
export { vdiFigures } from './vdi-figures.ts';
export { qedFigures } from './qed-figures.ts';
export { splitDiskFigures } from './split-figures.ts';
export { luksFigures } from './luks-figures.ts';
export { vhdFindings } from './findings-vhd.ts';
export { vhdFigures } from './vhd-figures.ts';
