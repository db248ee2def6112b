/** What a daemon answers from: the stores that it watches, their history, and the space it has promised. */
import type { StorageRules } from '#block';
import type {
  AdmissionDecision,
  AdmissionRequest,
  Alert,
  ImagePage,
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

/** Which images, in which order. */
export interface ImageQuery {
  readonly store?: string;
  /** Part of the path, letter case ignored. */
  readonly search?: string;
  /** risk: what cannot be read first, then what is soonest at its commitment, then by residual. */
  readonly sort: 'risk' | 'path' | 'capacity' | 'length' | 'allocation' | 'commitment' | 'residual' | 'exclusive' | 'growth';
  readonly descending: boolean;
  readonly offset: number;
  readonly limit: number;
}

/** A stretch of history, in milliseconds since 1970, thinned to at most `points` samples. */
export interface HistoryQuery {
  readonly fromMs: number;
  readonly toMs: number;
  readonly points: number;
}

/** A request whose commitment can be worked out when it is known by what rules the store's filesystem gives storage. */
interface Sized {
  readonly bytes: number | ((rules: StorageRules) => number);
}
export type SizedRequest = Omit<AdmissionRequest, 'image' | 'bytes'> & Sized;
export type SizedReservationRequest = Omit<ReservationRequest, 'image' | 'bytes'> &
  Sized & {
    /** Who asks, such as `user 1000`, for the quota. */
    readonly holder?: string | undefined;
  };

/**
 * Answers are values of one moment; none of them waits for a scan but `admit` and `reserve`, which look first whether
 * something changed.
 *
 * Throws: not-found, STORE_UNKNOWN, IMAGE_UNKNOWN, RESERVATION_UNKNOWN; conflict, RESERVATION_DIFFERS, when a key is used
 * again for something else; io, LEDGER_UNWRITABLE, when a reservation could not be made safe.
 */
export interface StoreService {
  /** When the first look at everything is over: until then there are no stores. Admission waits for it. Never rejects. */
  ready(): Promise<void>;
  status(): StatusReport;
  stores(): readonly StoreView[];
  store(id: string): StoreView;
  images(query: ImageQuery): ImagePage;
  image(id: string): ImageView;
  storeHistory(id: string, query: HistoryQuery): readonly StoreSample[];
  imageHistory(id: string, query: HistoryQuery): readonly ImageSample[];
  admit(request: SizedRequest): Promise<AdmissionDecision>;
  reserve(request: SizedReservationRequest): Promise<AdmissionDecision>;
  release(key: string): Reservation;
  reservations(query: { readonly store?: string; readonly ended: boolean }): readonly Reservation[];
  /** Of the moment it is asked for; worked out in turns with the rest. */
  moves(store: string, target: string | undefined): Promise<MovePlan>;
  alerts(): readonly Alert[];
  /** Returns what ends the subscription. */
  subscribe(listener: (event: ServeEvent) => void): () => void;
  /** Looks at everything anew, now. */
  rescan(store?: string): Promise<void>;
  close(): Promise<void>;
}
