/**
 * The shapes that leave plimsoll as JSON: `plimsoll.info/1`, `plimsoll.measure/1`, `plimsoll.scan/1`.
 * Bytes are numbers; a figure that is not known or has no bound is null, with the reason beside it.
 */
import type { FindingSchema, HostSchema } from './schemas/common.ts';
import type { ChainLinkSchema, ImageReportSchema, ScannedImageSchema } from './schemas/images.ts';
import type { InfoReportSchema, MeasureReportSchema, ScanReportSchema } from './schemas/reports.ts';
import type { StoreReportSchema } from './schemas/stores.ts';
import type { Shape } from './shape.ts';

/** Something an administrator should know, in a sentence; `code` is listed in docs/findings.md. */
export type Finding = Shape<typeof FindingSchema>;
export type FindingLevel = Finding['level'];

/** The host that reports. */
export type Host = Shape<typeof HostSchema>;

/** A reason why the growth of an image is not bounded by its commitment. */
export interface Unbounded {
  readonly reason: string;
  readonly detail: string;
}

/** The image formats that have figures: the one list that options and reports share. */
export const IMAGE_FORMATS = ['raw', 'qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi', 'qed', 'qcow', 'luks'] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

/** One file that an image refers to: its backing file, that one's backing file, an external data file, or an extent file. */
export type ChainLink = Shape<typeof ChainLinkSchema>;

/** The four figures of one image and what they are made of. */
export type ImageReport = Shape<typeof ImageReportSchema>;
export type FormatSource = NonNullable<ImageReport['formatSource']>;

export type InfoReport = Shape<typeof InfoReportSchema>;

export type MeasureReport = Shape<typeof MeasureReportSchema>;

export type ScannedImage = Shape<typeof ScannedImageSchema>;

/**
 * The reason why a file counts as never written: the administrator declares it, it is a backing file without write permission and
 * the administrator declares those, or it is of a kind that guests do not write.
 */
export type NeverWritten = NonNullable<ScannedImage['neverWritten']>;

export type StoreReport = Shape<typeof StoreReportSchema>;

export type ScanReport = Shape<typeof ScanReportSchema>;
