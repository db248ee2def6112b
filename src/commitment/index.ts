/** The four figures and the arithmetic of commitment; pure. */
export { type Figures, plannedQcow2Bound, plannedQcow2Figures, qcow2Figures, rawFigures } from './figures.ts';
export type { Bound } from './qcow2-bound.ts';
export { qcow2CommitGrowth, qedCommitGrowth, rawCommitGrowth } from './commit-growth.ts';
export { vmdkFigures } from './vmdk-figures.ts';
export { vhdxFigures } from './vhdx-figures.ts';
export { endAfterAllocating } from './qcow2-fill.ts';
export { commitmentAt, type NewImagePlace, type PlannedFile } from './new-file.ts';
export { mapBytesAtMost } from './host-charge.ts';
export { vdiFigures } from './vdi-figures.ts';
export { qcowFigures } from './qcow-figures.ts';
export { qedFigures } from './qed-figures.ts';
export { splitDiskFigures } from './split-figures.ts';
export { luksFigures } from './luks-figures.ts';
export { vhdFindings } from './findings-vhd.ts';
export { vhdFigures } from './vhd-figures.ts';
