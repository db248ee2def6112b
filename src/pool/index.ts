/** One host's stores: what lies on them and whether its future fits. */
export { scan, type ScanEvent, type ScanOptions } from './scan.ts';
export { countSharing, type Sharing, type StoredFile } from './sharing.ts';
export type { HistoryQuery, ImageQuery, SizedRequest, SizedReservationRequest, Watch } from './watch.ts';
export { admits, explainVerdict, type StoreFacts, sumOf } from './admission.ts';
export { type DaemonOptions, openDaemon, type WatchedStore } from './daemon.ts';
export { checkRules, DEFAULT_RULES, mergeRules, type PartialRules } from './rules.ts';
