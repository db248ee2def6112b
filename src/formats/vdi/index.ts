/** VDI: the public interface of this format. */
export type { VdiHeader, VdiImageType, VdiParent } from './header.ts';
export { openVdi, type VdiImage } from './image.ts';
