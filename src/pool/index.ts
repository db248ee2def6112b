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
export { History, type HistoryChoice, type Tick } from './state/history.ts';
export type { ImageState, StoreState } from './state/history-series.ts';
export { type Holding, Ledger, type Reserved } from './state/ledger.ts';
export type { LedgerClock } from './state/ledger-time.ts';
export type { LedgerRequest } from './state/ledger-request.ts';
export { admits, explainVerdict, mapsExceed, reserveOf, type StoreFacts, sumOf } from './decide/admission.ts';
export { withLargestFile } from './decide/too-long.ts';
export { checkRules, DEFAULT_RULES, mergeRules, type PartialRules } from './decide/rules.ts';
export { alertOf, judgeLevel, type LevelState } from './decide/levels.ts';
export { forecastStore, outlookTo } from './decide/forecast.ts';
export { growthOf, LOOK_BACK_SECONDS, type SizePoint } from './decide/growth.ts';
export { groupImages, type ImageGroup } from './decide/move-groups.ts';
export { type MoveGroup, planInSteps } from './decide/moves.ts';
export { MAP_MAY_EXCEED } from './scan/map-caveat.ts';
export { refuseFile } from './scan/scan.ts';
export { RISK_KEYS } from './scan/risk.ts';
export { roomDuring } from './scan/store.ts';
