/** A qcow image, opened: header and L1 table checked, the rest when it is needed. */
import type { ReadableDevice } from '#block';
import { QcowDevice } from './guest-device.ts';
import { type QcowHeader, readQcowHeader } from './header.ts';
import { type QcowSurvey, surveyQcow } from './survey.ts';
import { readL1 } from './tables.ts';

export interface QcowImage {
  readonly capacity: number;
  readonly header: QcowHeader;
  /** The guest's bytes. Throws: unsupported QCOW_BACKING, QCOW_ENCRYPTED; corrupt, io, over-budget. */
  readonly device: ReadableDevice;
  /** Reads all tables; anew at each call. */
  readonly survey: (signal?: AbortSignal) => Promise<QcowSurvey>;
}

/**
 * The qcow image of version 1 in `file`.
 *
 * Bounds: the header and the L1 table, at most 64 MiB and not longer than the file.
 * Throws: corrupt, unsupported, over-budget, io; AbortError.
 */
export async function openQcow(file: ReadableDevice, signal?: AbortSignal): Promise<QcowImage> {
  const header = await readQcowHeader(file);
  const l1 = await readL1(file, header, signal);
  const device = new QcowDevice(file, header, l1);
  return { capacity: header.capacity, header, device, survey: (until) => surveyQcow(file, header, l1, until) };
}
