/** One host's stores: what lies on them and whether its future fits. */
export { Keeper, type KeeperOptions, type ProgressListener, type ScannedListener, type ScanProgress } from './keeper.ts';
export type { GroupStorage, KeptStore } from './kept-store.ts';
export { scan, type ScanEvent, type ScanOptions } from './scan.ts';
export { countSharing, type PhysicalRanges, type Sharing, type StoredFile } from './sharing.ts';
export { History, type HistoryChoice, type ImageState, type StoreState, type Tick } from './history.ts';
export { type Holding, Ledger, type LedgerClock, type LedgerRequest, type Reserved } from './ledger.ts';
export { type DaemonOptions, openDaemon, type StoreOrder } from './daemon.ts';
export type { HistoryQuery, ImageQuery, SizedRequest, SizedReservationRequest, Watch } from './watch.ts';
export { admits, explainVerdict, type StoreFacts, sumOf } from './admission.ts';
export { checkRules, DEFAULT_RULES, mergeRules, type PartialRules } from './rules.ts';
