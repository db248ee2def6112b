/** The formats without files of their own beside them: opened by their own reader, counted by their own rules. */
import { PlimsollError } from '#base';
import { type FileFacts, type ReadableDevice, withTableMemory } from '#block';
import {
  type DriverFormat,
  hasTwoVhdSizes,
  openLuks,
  openQcow,
  openQed,
  openVdi,
  openVhd,
  openVhdx,
  openVmdk,
  openVmdkExtent,
  readVmdkFacts,
  type SplitDisk,
  splitDiskOf,
  type VmdkExtentImage,
  type VmdkImage,
} from '#formats';
import {
  type Figures,
  luksFigures,
  qcowFigures,
  qedFigures,
  splitDiskFigures,
  vdiFigures,
  vhdFigures,
  vhdFindings,
  vhdxFigures,
  vmdkFigures,
} from '#commitment';
import { type FileReferences, referencesOfLayer, referencesOfSplitDisk } from '#references';
import type { ImageReport } from '#wire';

/** Every format with a driver but qcow2, which has its own way to figures. The compiler requires an entry for each below. */
export type OtherFormat = Exclude<DriverFormat, 'qcow2'>;

export interface CountedImage {
  readonly figures: Figures;
  readonly details: ImageReport['details'];
  /** The image is a differencing image, which it names so. */
  readonly parent: string | undefined;
  /** Files that it names and that are followed. Left out: none. */
  readonly references?: FileReferences;
}

type Reader = (device: ReadableDevice, facts: FileFacts, signal: AbortSignal | undefined) => Promise<CountedImage>;

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
  vmdk: readVmdk,
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
      references: referencesOfLayer(image.header),
    };
  },
  qcow: async (device, facts, signal) => {
    const image = await openQcow(device, signal);
    const survey = await image.survey(signal);
    const { clusterSize, l2Entries, encryption } = image.header;
    return {
      figures: withTableMemory(device.memory, () => qcowFigures(survey, facts)),
      details: { clusterSize, l2Entries, encryption },
      parent: undefined,
      references: referencesOfLayer(image.header),
    };
  },
  luks: async (device, facts) => {
    const image = await openLuks(device);
    const { version, payloadOffset, cipher } = image.header;
    return { figures: luksFigures(image, facts), details: { version, payloadOffset, cipher }, parent: undefined };
  },
};

/** A descriptor of its own, an image in one file, or one extent of a split image. */
async function readVmdk(device: ReadableDevice, facts: FileFacts, signal: AbortSignal | undefined): Promise<CountedImage> {
  const image = await openVmdkFile(device, signal);
  if ('files' in image) {
    const { createType, files, parent } = image;
    const details = { subformat: createType, extentFiles: files.length };
    return { figures: splitDiskFigures(image, facts), details, parent, references: referencesOfSplitDisk(image) };
  }
  const census = await image.census(signal);
  const figures = withTableMemory(device.memory, () => vmdkFigures(census, facts));
  const subformat = 'descriptor' in image ? image.descriptor.createType : 'sparse extent';
  return { figures, details: { subformat, grainBytes: image.header.grainBytes }, parent: undefined };
}

async function openVmdkFile(device: ReadableDevice, signal: AbortSignal | undefined): Promise<SplitDisk | VmdkImage | VmdkExtentImage> {
  try {
    const facts = await readVmdkFacts(device);
    return splitDiskOf(facts) ?? (await openVmdk(device, signal, facts));
  } catch (thrown) {
    if (!(thrown instanceof PlimsollError) || thrown.code !== 'VMDK_NO_DESCRIPTOR') throw thrown;
    return openVmdkExtent(device, signal);
  }
}
