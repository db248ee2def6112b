/** The state of the page as signals, from which everything is rendered. */
import { batch, computed, signal } from '@preact/signals';
import type { Alert, ImageView, ServeEvent, StoreView } from '#wire';
import type { Changes } from '../view/coalesce.ts';
import { type Route, routeOf } from '../view/route.ts';
import { worstFirst } from '../view/verdict.ts';
import { takeTokenFromAddress } from './token.ts';

export type Connection =
  | { readonly state: 'connecting' }
  | { readonly state: 'live' }
  | { readonly state: 'lost'; readonly sinceMs: number; readonly retryAtMs: number; readonly message: string }
  | { readonly state: 'locked' };

type ScanEvent = Extract<ServeEvent, { type: 'scan' }>;

const byId = signal<ReadonlyMap<string, StoreView>>(new Map());

export const connection = signal<Connection>({ state: 'connecting' });
/** Whether the stores have arrived yet. */
export const isInformed = signal(false);
export const stores = computed(() => [...byId.value.values()].sort(worstFirst));
export const alerts = computed(() => stores.value.flatMap((store) => store.alerts).sort(criticalFirst));
export const scans = signal<ReadonlyMap<string | null, ScanEvent>>(new Map());
/** The latest version of each image that changed while the page is open; the others came with their list. */
export const changedImages = signal<ReadonlyMap<string, ImageView>>(new Map());
/** Incremented when lists of images, or of reservations, must be fetched again. */
export const imagesEpoch = signal(0);
export const reservationsEpoch = signal(0);
/** The announcement for screen readers; the count makes an equal text announced again. */
export const announcement = signal({ text: '', isUrgent: false, count: 0 });
export const nowMs = signal(Date.now());
export const lastHeardMs = signal(Date.now());
export const route = signal<Route>(routeOf(location.hash));

const MAX_CHANGED_KEPT = 2000;

export function storeOf(id: string): StoreView | undefined {
  return byId.value.get(id);
}

function criticalFirst(one: Alert, other: Alert): number {
  return Number(other.level === 'critical') - Number(one.level === 'critical') || Date.parse(one.since) - Date.parse(other.since);
}

/** Replaces the whole state at the start of each connection: missed changes are fetched again. */
export function takeHello(all: readonly StoreView[]): void {
  batch(() => {
    byId.value = new Map(all.map((store) => [store.id, store]));
    isInformed.value = true;
    connection.value = { state: 'live' };
    scans.value = new Map();
    changedImages.value = new Map();
    imagesEpoch.value += 1;
    reservationsEpoch.value += 1;
  });
}

/** Applies all events since the last frame at once. */
export function takeChanges(changes: Changes): void {
  batch(() => {
    if (changes.stores.size > 0) byId.value = new Map([...byId.value, ...changes.stores]);
    if (changes.scans.size > 0) scans.value = new Map([...scans.value, ...changes.scans]);
    if (changes.reservations.size > 0) reservationsEpoch.value += 1;
    takeImages(changes);
    for (const { alert, state } of changes.alerts)
      announce(`${state === 'raised' ? alert.level : 'cleared'}: ${alert.message}`, state === 'raised' && alert.level === 'critical');
  });
}

function takeImages({ images, gone, isFlooded }: Changes): void {
  if (images.size > 0) {
    const all = [...changedImages.value, ...images];
    changedImages.value = new Map(all.slice(-MAX_CHANGED_KEPT));
  }
  if (isFlooded || gone.size > 0 || images.size > 0) imagesEpoch.value += 1;
}

export function announce(text: string, isUrgent = false): void {
  announcement.value = { text, isUrgent, count: announcement.value.count + 1 };
}

/** Follows the address and the clock while the page is open. */
export function followBrowser(): void {
  addEventListener('hashchange', () => {
    // Another token for the open page: it starts over.
    if (takeTokenFromAddress()) location.reload();
    route.value = routeOf(location.hash);
  });
  setInterval(() => {
    nowMs.value = Date.now();
  }, 1000);
}
