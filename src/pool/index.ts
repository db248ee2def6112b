/** One host's stores: what lies on them and whether its future fits. */
export { scan, type ScanEvent, type ScanOptions } from './scan.ts';
export { countSharing, type Sharing, type StoredFile } from './sharing.ts';
export type { HistoryQuery, ImageQuery, SizedRequest, SizedReservationRequest, Watch } from './watch.ts';
