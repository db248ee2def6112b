/** The drawing of a store as a hull in section: its layers from the keel up, its load line and its draught. Pure. */
import type { StoreView } from '#wire';

export type Cargo = 'others' | 'kept' | 'images' | 'residual' | 'reserved';

/** One layer of cargo, in bytes above the keel. */
export interface Layer {
  readonly cargo: Cargo;
  readonly from: number;
  readonly to: number;
}

export interface Hull {
  /** From the keel up, without gaps; layers of no bytes are left out. */
  readonly layers: readonly Layer[];
  /** The deck: the size of the store. */
  readonly deck: number;
  /** size − floor. */
  readonly loadLine: number;
  /** The waterline by the sum of its policy; null if the sum is unknown. */
  readonly waterline: number | null;
  /** loadLine − waterline. */
  readonly freeboard: number | null;
  /** The number of bytes at the top of the drawing. */
  readonly top: number;
  /** The cargo exceeds the drawing. */
  readonly isCut: boolean;
}

/** Air above the deck or above the cargo, as a share of the height. */
const AIR = 0.06;
/** Cargo above this multiple of the size is cut off; the hull would otherwise be a line at the bottom. */
const MAX_SHOWN = 1.8;

/** The hull of a store. Units: bytes. An unknown figure has no layer; `waterline` is then null. */
export function hullOf(store: StoreView): Hull {
  const layers = stow(amounts(store));
  const stowed = layers.at(-1)?.to ?? 0;
  const loadLine = Math.max(0, store.size - store.floor);
  const waterline = store.sum.remaining === null ? null : Math.max(0, loadLine - store.sum.remaining);
  const highest = Math.max(store.size, stowed, waterline ?? 0, 1);
  const shown = Math.min(highest, Math.max(store.size, 1) * MAX_SHOWN);
  return {
    layers,
    deck: store.size,
    loadLine,
    waterline,
    freeboard: store.sum.remaining,
    top: shown * (1 + AIR),
    isCut: highest > shown,
  };
}

/** Bytes of each kind of cargo, heaviest at the keel: immovable data first, possible growth last. */
export function amounts(store: StoreView): readonly (readonly [Cargo, number])[] {
  const images = Math.min(store.allocation, store.used);
  return [
    ['others', store.used - images],
    ['kept', Math.max(0, store.size - store.used - store.available)],
    ['images', images],
    ['residual', Math.max(0, store.residual ?? 0)],
    ['reserved', store.reserved],
  ];
}

function stow(cargo: readonly (readonly [Cargo, number])[]): Layer[] {
  const layers: Layer[] = [];
  let from = 0;
  for (const [kind, bytes] of cargo) {
    if (bytes <= 0) continue;
    layers.push({ cargo: kind, from, to: from + bytes });
    from += bytes;
  }
  return layers;
}

/** The y coordinate of `bytes` above the keel in a drawing with its keel at `keelY` and its top at `topY`. */
export function heightOf(hull: Hull, bytes: number, topY: number, keelY: number): number {
  const share = Math.min(1, Math.max(0, bytes / hull.top));
  return keelY - share * (keelY - topY);
}
