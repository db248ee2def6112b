/**
 * The use cases of plimsoll over data. Each argument, result and event is JSON, so that the HTTP server, the commands and, later, a
 * service on another host answer from the same interface; a test sends all of them through JSON.
 */
import type {
  AdmissionDecision,
  AdmissionRequest,
  Alert,
  HistoryQuery,
  ImagePage,
  ImageQuery,
  ImageSample,
  ImageView,
  MovePlan,
  Reservation,
  ReservationRequest,
  ServeEvent,
  StatusReport,
  StoreSample,
  StoreView,
} from '#wire';

export type HeldRequest = ReservationRequest & {
  /** The client, such as `user 1000`, for its quota. */
  readonly holder?: string | undefined;
};

export interface ReservationsQuery {
  readonly store?: string;
  /** Also those that were released, have expired or were fulfilled. */
  readonly ended: boolean;
}

/**
 * Answers are values of one moment. Only `checkAdmission` and `reserve` wait for a scan: they first scan for changes.
 *
 * Throws: not-found, STORE_UNKNOWN, IMAGE_UNKNOWN, RESERVATION_UNKNOWN; usage, ADMISSION_WHAT, and others for the options of an
 * image; conflict, RESERVATION_DIFFERS, when a key is used again for a different request; io, LEDGER_UNWRITABLE, when a
 * reservation could not be made durable.
 */
export interface StoreService {
  /** Resolves when the initial scan has ended; before it there are no stores. Admission waits for it. Never rejects. */
  ready(): Promise<void>;
  status(): Promise<StatusReport>;
  queryStores(): Promise<readonly StoreView[]>;
  queryStore(id: string): Promise<StoreView>;
  queryImages(query: ImageQuery): Promise<ImagePage>;
  queryImage(id: string): Promise<ImageView>;
  storeHistory(id: string, query: HistoryQuery): Promise<readonly StoreSample[]>;
  imageHistory(id: string, query: HistoryQuery): Promise<readonly ImageSample[]>;
  checkAdmission(request: AdmissionRequest): Promise<AdmissionDecision>;
  reserve(request: HeldRequest): Promise<AdmissionDecision>;
  release(key: string): Promise<Reservation>;
  queryReservations(query: ReservationsQuery): Promise<readonly Reservation[]>;
  /** For this moment; computed cooperatively. `target`: the id of the store to move to. */
  planMoves(store: string, target?: string): Promise<MovePlan>;
  queryAlerts(): Promise<readonly Alert[]>;
  /** Returns the function that ends the subscription. */
  subscribe(listener: (event: ServeEvent) => void): () => void;
  /** Scans everything again; one store, if named. */
  rescan(store?: string): Promise<void>;
  close(): Promise<void>;
}
