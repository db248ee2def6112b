/** Coalesces server events until the next frame: of many changes to one image only the last counts. Pure. */
import type { Alert, ImageView, Reservation, ServeEvent, StoreView } from '#wire';

/** The changes since the last frame. */
export interface Changes {
  readonly stores: ReadonlyMap<string, StoreView>;
  readonly images: ReadonlyMap<string, ImageView>;
  readonly gone: ReadonlySet<string>;
  readonly alerts: readonly { readonly alert: Alert; readonly state: 'raised' | 'cleared' }[];
  readonly reservations: ReadonlyMap<string, Reservation>;
  readonly scans: ReadonlyMap<string | null, Extract<ServeEvent, { type: 'scan' }>>;
  /** More images changed than are buffered: lists of images must be fetched again. */
  readonly isFlooded: boolean;
}

/** Maximum images or alerts buffered between two frames; beyond it single ones no longer matter. */
const MAX_KEPT = 1000;

export class ChangeBuffer {
  #stores = new Map<string, StoreView>();
  #images = new Map<string, ImageView>();
  #gone = new Set<string>();
  #alerts: Changes['alerts'][number][] = [];
  #reservations = new Map<string, Reservation>();
  #scans = new Map<string | null, Extract<ServeEvent, { type: 'scan' }>>();
  #isFlooded = false;

  add(event: ServeEvent): void {
    switch (event.type) {
      case 'store':
        this.#stores.set(event.store.id, event.store);
        break;
      case 'image':
        this.#gone.delete(event.image.id);
        this.#images.set(event.image.id, event.image);
        break;
      case 'image-gone':
        this.#images.delete(event.id);
        this.#gone.add(event.id);
        break;
      case 'alert':
        this.#alerts.push({ alert: event.alert, state: event.state });
        break;
      case 'reservation':
        this.#reservations.set(event.reservation.key, event.reservation);
        break;
      case 'scan':
        this.#scans.set(event.store, event);
        break;
    }
    this.#bound();
  }

  /** Returns and empties the buffer. */
  take(): Changes {
    const changes = {
      stores: this.#stores,
      images: this.#images,
      gone: this.#gone,
      alerts: this.#alerts,
      reservations: this.#reservations,
      scans: this.#scans,
      isFlooded: this.#isFlooded,
    };
    this.#stores = new Map();
    this.#images = new Map();
    this.#gone = new Set();
    this.#alerts = [];
    this.#reservations = new Map();
    this.#scans = new Map();
    this.#isFlooded = false;
    return changes;
  }

  #bound(): void {
    if (this.#images.size + this.#gone.size > MAX_KEPT) {
      this.#images.clear();
      this.#gone.clear();
      this.#isFlooded = true;
    }
    if (this.#alerts.length > MAX_KEPT) this.#alerts.shift();
  }
}
