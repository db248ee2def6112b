/** One host's stores: what lies on them and whether its future fits. */
export {
  StoreMonitor,
  type StoreMonitorOptions,
  type ProgressListener,
  type ScannedListener,
  type ScanProgress,
} from './scan/store-monitor.ts';
export type { GroupStorage, StoreSnapshot } from './scan/store-snapshot.ts';
export { scan, type ScanEvent, type ScanOptions } from './scan/scan.ts';
export { countSharing, type PhysicalRanges, type Sharing, type StoredFile } from './scan/sharing.ts';
export { History, type HistoryChoice, type ImageState, type StoreState, type Tick } from './state/history.ts';
export { type Holding, Ledger, type LedgerClock, type LedgerRequest, type Reserved } from './state/ledger.ts';
export { type DaemonOptions, openDaemon, type StoreOrder } from './daemon/daemon.ts';
export type { HistoryQuery, ImageQuery, SizedRequest, SizedReservationRequest, StoreService } from './daemon/store-service.ts';
export { admits, explainVerdict, mapsExceed, reserveOf, type StoreFacts, sumOf } from './decide/admission.ts';
export { withLargestFile } from './decide/too-long.ts';
export { checkRules, DEFAULT_RULES, mergeRules, type PartialRules } from './decide/rules.ts';
