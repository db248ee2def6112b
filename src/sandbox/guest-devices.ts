/** The formats, raw and qcow2 aside, whose guest bytes are located by their own reader: one line for each. */
import type { ReadableDevice } from '#block';
import { openLuks, openQed, openVdi, openVhd, openVhdx, openVmdk } from '#formats';
import { vhdFindings } from '#commitment';
import type { Finding } from '#wire';
import { type BackingReference, referencesOfQed } from './file-references.ts';
import type { OtherFormat } from './other-formats.ts';

export interface GuestDevice {
  readonly device: ReadableDevice;
  /** All of the disk lies in the file, so that holes of the file are zeros of the disk: QEMU reads it so, too. */
  readonly isWholeInFile: boolean;
  readonly findings: readonly Finding[];
  /** What is unallocated is the backing file's. */
  readonly backing?: BackingReference | undefined;
}

type Opener = (device: ReadableDevice, signal: AbortSignal | undefined) => Promise<GuestDevice>;

/**
 * Throws: corrupt, unsupported, over-budget, io; refused, for a differencing VHDX. The extents of a differencing VHD or VDI throw
 * unsupported where the parent would be needed.
 */
export const GUEST_DEVICES: Readonly<Record<OtherFormat, Opener>> = {
  vhd: async (file, signal) => {
    const { device, blocks, footer } = await openVhd(file, signal);
    return { device, isWholeInFile: blocks === undefined, findings: vhdFindings(footer) };
  },
  vmdk: async (file, signal) => opened((await openVmdk(file, signal)).device),
  vhdx: async (file) => opened(await openVhdx(file)),
  vdi: async (file, signal) => {
    const { device, header } = await openVdi(file, signal);
    return { ...opened(device), isWholeInFile: header.imageType === 'static' };
  },
  luks: async (file) => opened((await openLuks(file)).device),
  qed: async (file, signal) => {
    const { device, header } = await openQed(file, signal);
    return { ...opened(device), backing: referencesOfQed(header).backing };
  },
};

function opened(device: ReadableDevice): GuestDevice {
  return { device, isWholeInFile: false, findings: [] };
}
