/** The formats whose figures follow from one table of blocks: opened by their own reader, counted by their own rules. */
import type { BlockDevice, FileFacts } from '#block';
import { openVdi, openVhd } from '#formats';
import { type Figures, vdiFigures, vhdFigures } from '#sizes';
import type { ImageReport } from '#wire';

export interface CountedImage {
  readonly figures: Figures;
  readonly details: ImageReport['details'];
  /** The image is a difference to another one, which it names so. */
  readonly parent: string | undefined;
}

type Reader = (device: BlockDevice, facts: FileFacts, signal: AbortSignal | undefined) => Promise<CountedImage>;

/** Throws: corrupt, unsupported, over-budget, io. */
export const OTHER_FORMATS: Readonly<Record<string, Reader>> = {
  vhd: async (device, facts, signal) => {
    const image = await openVhd(device, signal);
    return {
      figures: vhdFigures(image, facts),
      details: {
        subformat: image.footer.diskType,
        ...(image.blocks === undefined ? {} : { blockSize: image.blocks.blockSize }),
      },
      parent: image.parent === undefined ? undefined : (image.parent.unicodeName.text ?? image.parent.uniqueId),
    };
  },
  vdi: async (device, facts, signal) => {
    const image = await openVdi(device, signal);
    return {
      figures: vdiFigures(image, facts),
      details: { subformat: image.header.imageType, blockSize: image.header.blockSize },
      parent: image.parent?.uuid,
    };
  },
};
