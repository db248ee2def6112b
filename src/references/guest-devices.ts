/** The guest's disk of every format but raw and qcow2: located by the format's driver, with what only some formats add. */
import type { ReadableDevice } from '#block';
import { type DriverFormat, driverOf, type GuestImage, openVhd } from '#formats';
import { vhdFindings } from '#commitment';
import type { Finding } from '#wire';
import { type BackingReference, backingOf } from './file-references.ts';

/** qcow2 has backing and data files, raw has no structures. */
type OtherFormat = Exclude<DriverFormat, 'qcow2'>;

export interface GuestDevice extends Omit<GuestImage, 'backing'> {
  readonly findings: readonly Finding[];
  /** What is unallocated is the backing file's. */
  readonly backing?: BackingReference | undefined;
}

type Opener = (device: ReadableDevice, signal: AbortSignal | undefined) => Promise<GuestDevice>;

/** Formats with a finding on the disk's size. */
const WITH_MORE: Readonly<Partial<Record<OtherFormat, Opener>>> = {
  vhd: async (file, signal) => {
    const { device, blocks, footer } = await openVhd(file, signal);
    return { device, isWholeInFile: blocks === undefined, findings: vhdFindings(footer) };
  },
};

/**
 * Throws: corrupt, unsupported, over-budget, io; refused, for a differencing VHDX. The extents of a differencing VHD or VDI throw
 * unsupported where the parent would be needed.
 */
export async function openGuestDevice(format: OtherFormat, file: ReadableDevice, signal: AbortSignal | undefined): Promise<GuestDevice> {
  const opener = WITH_MORE[format];
  if (opener !== undefined) return opener(file, signal);
  const { backing, ...image } = await driverOf(format).open(file, signal);
  return { ...image, findings: [], backing: backing === undefined ? undefined : backingOf(backing) };
}
