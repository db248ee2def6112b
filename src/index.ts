/**
 * plimsoll as a library: the figures of images, scans of whole stores, who uses an image, whether a
 * stranger's image is safe, new images measured and made.
 *
 * ```ts
 * import { figures, scan } from 'plimsoll';
 * const { commitment } = await figures('/srv/vm/disk.qcow2');
 * for await (const event of scan(['/srv/vm'])) if (event.type === 'report') console.log(event.report.stores);
 * ```
 */
export { type ErrorKind, PlimsollError } from '#base';
export { type Extent, type ExtentStatus, type ReadOptions } from '#block';
export { DaemonClient, socketPath } from '#client';
export {
  createImage,
  type CreatedImage,
  type CreateOptions,
  type CreateRequest,
  measureCopy,
  measureNew,
  parseCreateOptions,
} from '#create';
export { scan, type ScanEvent, type ScanOptions } from '#pool';
export {
  DEFAULT_POLICY,
  examineImage,
  figures,
  type FiguresOptions,
  openImage,
  type OpenedDisk,
  type OpenImageOptions,
  parsePolicy,
  vet,
  type VetFormat,
  vetMany,
  type VetManyOptions,
  type VetOptions,
  type VetOutcome,
  type VetPolicy,
  who,
  type WhoOptions,
} from '#sandbox';
export {
  type AdmissionDecision,
  type AdmissionRequest,
  type Component,
  type ComponentCode,
  type ChainLink,
  DEFINITIONS,
  EXIT_CODES,
  type Finding,
  type ForeignLockReport,
  type HeldLock,
  type ImageReport,
  type LockReport,
  type LoopUser,
  type MeasureReport,
  type ProcessUser,
  type Reservation,
  type ReservationRequest,
  type ScannedImage,
  type ScanReport,
  type StatusReport,
  type StoreReport,
  type Unbounded,
  type UseReport,
  type UseVerdict,
  type Verdict,
  type VetConversion,
  type VetIdentity,
  type VetNext,
  type VetReason,
  type VetReport,
  type VetUse,
} from '#wire';
