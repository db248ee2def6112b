/** What crosses a process or network border: report types, definitions, the table of exit codes. Browser-safe. */
export type { Verdict, VetIdentity, VetNext, VetReason, VetReport } from './vet-report.ts';
export { EXIT_CODE_OF_KIND, EXIT_CODES } from './kinds.ts';
export {
  type Addend,
  type ChainLink,
  DEFINITIONS,
  type Finding,
  type FindingLevel,
  type FormatSource,
  IMAGE_FORMATS,
  type ImageFormat,
  type ImageReport,
  type InfoReport,
  type MeasureReport,
  type ScannedImage,
  type ScanReport,
  type StoreReport,
  type Unbounded,
} from './reports.ts';
export type {
  ForeignLockReport,
  HeldLock,
  LockReport,
  LoopUser,
  ProcessUser,
  UseReport,
  UseVerdict,
  WhoReport,
} from './use-reports.ts';
