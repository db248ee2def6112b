/** The shapes that cross a process or network boundary: report types, definitions, the table of exit codes. Browser-safe. */
export type { Verdict, VetConversion, VetIdentity, VetNext, VetReason, VetReport, VetUse } from './vet-report.ts';
export { EXIT_CODE_OF_KIND, EXIT_CODES, exitCodeOfError, httpStatusOf } from './kinds.ts';
export { type Component, component, COMPONENT_CODES, COMPONENT_NAMES, type ComponentCode, sumOfComponents } from './components.ts';
export { DEFINITIONS, GLOSSARY, WORDS } from './glossary.ts';
export {
  type ChainLink,
  type Finding,
  type FindingLevel,
  type FormatSource,
  type Host,
  IMAGE_FORMATS,
  type ImageFormat,
  type ImageReport,
  type NeverWritten,
  type InfoReport,
  type MeasureReport,
  type ScannedImage,
  type ScanReport,
  type StoreReport,
  type Unbounded,
} from './reports.ts';
export {
  type AdmissionDecision,
  type AdmissionRequest,
  type Alert,
  type ApiError,
  type Growth,
  type HistoryQuery,
  type ImageQuery,
  type HelloEvent,
  type ImagePage,
  type ImageSample,
  type ImageView,
  type Level,
  type LevelRule,
  type Move,
  type MovePlan,
  type Outlook,
  POLICIES,
  type Policy,
  type PolicySum,
  type Reservation,
  type ReservationRefusal,
  type ReservationRequest,
  type ServeEvent,
  type StatusReport,
  type StoreForecast,
  type StoreRules,
  type StoreSample,
  type StoreView,
} from './serve-reports.ts';
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
export { MAX_TTL_SECONDS, MAX_KEY_LENGTH, MIN_TTL_SECONDS } from './reservation-limits.ts';
