/** A QED image, opened: header and L1 table checked, the rest when it is needed. */
import type { ReadableDevice } from '#block';
import { type QedCensus, takeQedCensus } from './census.ts';
import { QedDevice } from './guest-device.ts';
import { type QedHeader, readQedHeader } from './header.ts';
import { readL1 } from './tables.ts';

export interface QedImage {
  readonly capacity: number;
  readonly header: QedHeader;
  /** The guest's bytes. Throws: unsupported QED_BACKING where the backing file would be needed; corrupt, io, over-budget. */
  readonly device: ReadableDevice;
  /** The walk that the figures rest on; each call walks anew. */
  readonly census: (signal?: AbortSignal) => Promise<QedCensus>;
}

/**
 * The QED image in `file`.
 *
 * Bounds: the header and the L1 table, at most 64 MiB and no more than the file is long.
 * Throws: corrupt, unsupported, over-budget, io; AbortError.
 */
export async function openQed(file: ReadableDevice, signal?: AbortSignal): Promise<QedImage> {
  const header = await readQedHeader(file);
  const l1 = await readL1(file, header, signal);
  const device = new QedDevice(file, header, l1);
  return { capacity: header.capacity, header, device, census: (until) => takeQedCensus(file, header, l1, until) };
}
