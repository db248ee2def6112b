/** Where the content of an open image is examined: inline, or in a confined worker. */
import type { TableMemory } from '#block';
import type { HostCache, OpenFile } from '#host';
import type { ExaminedContent, ImageFile } from './examine-content.ts';

export interface OpenedImage {
  readonly image: ImageFile;
  readonly file: OpenFile;
  /** Opens a reference of the image under the policy. Throws: refused, not-found, io. */
  readonly openReference: (path: Buffer) => Promise<OpenFile>;
  /** The memory that its tables may take. */
  readonly tables: TableMemory;
  readonly cache: HostCache;
  readonly signal: AbortSignal | undefined;
}

export interface Examiner {
  /** Throws: the signal's reason; confined, as runConfined. An error of the image is in its report. */
  examine(opened: OpenedImage): Promise<ExaminedContent>;
}
