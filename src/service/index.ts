/** The use cases over stores, as data: a running daemon, and admission by a single scan. */
export { type DaemonOptions, openDaemon, type StoreConfig } from './daemon.ts';
export { requestedSize, type RequestedSize } from './requested-size.ts';
export { checkAdmissionByScan, type ScanDirectory } from './scan-admission.ts';
export type { HeldRequest, ReservationsQuery, StoreService } from './store-service.ts';
