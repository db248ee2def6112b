/** The formats without files of their own beside them: opened by their own reader, counted by their own rules. */
import { type BlockDevice, type FileFacts, withTableMemory } from '#block';
import { hasTwoVhdSizes, openLuks, openQed, openVdi, openVhd, openVhdx, openVmdk } from '#formats';
import { type Figures, luksFigures, qedFigures, vdiFigures, vhdFigures, vhdFindings, vhdxFigures, vmdkFigures } from '#sizes';
import type { ImageFormat, ImageReport } from '#wire';
import { type FileReferences, referencesOfQed } from './file-references.ts';

/** Raw is arithmetic, and qcow2 has a census and a chain. */
export type OtherFormat = Exclude<ImageFormat, 'raw' | 'qcow2'>;

export interface CountedImage {
  readonly figures: Figures;
  readonly details: ImageReport['details'];
  /** The image is a difference to another one, which it names so. */
  readonly parent: string | undefined;
  /** Files that it names and that are followed. Left out: none. */
  readonly references?: FileReferences;
}

type Reader = (device: BlockDevice, facts: FileFacts, signal: AbortSignal | undefined) => Promise<CountedImage>;

/** Throws: corrupt, unsupported, over-budget, io. */
export const OTHER_FORMATS: Readonly<Record<OtherFormat, Reader>> = {
  vhd: async (device, facts, signal) => {
    const image = await openVhd(device, signal);
    const { currentSize, geometryBytes, capacityFrom, diskType } = image.footer;
    const figures = vhdFigures(image, facts);
    return {
      figures: { ...figures, findings: [...figures.findings, ...vhdFindings(image.footer)] },
      details: {
        subformat: diskType,
        ...(hasTwoVhdSizes(image.footer) ? { currentSize, geometrySize: geometryBytes, capacityFrom } : {}),
        ...(image.blocks === undefined ? {} : { blockSize: image.blocks.blockSize }),
      },
      parent: image.parent === undefined ? undefined : (image.parent.unicodeName.text ?? image.parent.uniqueId),
    };
  },
  vmdk: async (device, facts, signal) => {
    const image = await openVmdk(device, signal);
    const census = await image.census(signal);
    const figures = withTableMemory(device.memory, () => vmdkFigures(census, facts));
    return { figures, details: { subformat: image.descriptor.createType, grainBytes: image.header.grainBytes }, parent: undefined };
  },
  vhdx: async (device, facts) => {
    const image = await openVhdx(device);
    return { figures: vhdxFigures(image, facts), details: { blockSize: image.facts.blockSize }, parent: undefined };
  },
  vdi: async (device, facts, signal) => {
    const image = await openVdi(device, signal);
    return {
      figures: vdiFigures(image, facts),
      details: { subformat: image.header.imageType, blockSize: image.header.blockSize },
      parent: image.parent?.uuid,
    };
  },
  qed: async (device, facts, signal) => {
    const image = await openQed(device, signal);
    const census = await image.census(signal);
    const { clusterSize, tableBytes, needsCheck } = image.header;
    return {
      figures: withTableMemory(device.memory, () => qedFigures(census, facts)),
      details: { clusterSize, tableSize: tableBytes / clusterSize, needsCheck },
      parent: undefined,
      references: referencesOfQed(image.header),
    };
  },
  luks: async (device, facts) => {
    const image = await openLuks(device);
    const { version, payloadOffset, cipher } = image.header;
    return { figures: luksFigures(image, facts), details: { version, payloadOffset, cipher }, parent: undefined };
  },
};
