/** Images as a daemon shows them: named, ranked by danger, a page at a time. Pure. */
import { createHash } from 'node:crypto';
import type { ImagePage, ImageView } from '#wire';
import type { ImageQuery } from './watch.ts';

const ID_DIGITS = 16;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** What an image is called in addresses: the same as long as its store and its name stay. A hash takes all lone surrogates for the same. */
export function imageIdOf(store: string, path: string): string {
  return createHash('sha256')
    .update(`${store}\0${LONE_SURROGATE.test(path) ? JSON.stringify(path) : path}`)
    .digest('hex')
    .slice(0, ID_DIGITS);
}

type Compare = (a: ImageView, b: ImageView) => number;

/** What is not known goes last, whichever way the rest is sorted. */
function byNumber(of: (image: ImageView) => number | null, descending: boolean): Compare {
  return (a, b) => {
    const [left, right] = [of(a), of(b)];
    if (left === null || right === null) return Number(left === null) - Number(right === null);
    return descending ? right - left : left - right;
  };
}

function byPath(a: ImageView, b: ImageView): number {
  if (a.path === b.path) return 0;
  return a.path < b.path ? -1 : 1;
}

/** What cannot be read first: nobody knows how dangerous it is. Then what is soonest at its commitment, then by residual; last what is full. */
function byDanger(a: ImageView, b: ImageView): number {
  const unreadable = Number(b.error !== undefined) - Number(a.error !== undefined);
  if (unreadable !== 0) return unreadable;
  const [soonA, soonB] = [a, b].map(soonness) as [number, number];
  if (soonA !== soonB) return soonA < soonB ? -1 : 1;
  return (b.residual ?? 0) - (a.residual ?? 0);
}

/** What is at its commitment takes nothing more. */
function soonness({ toCommitment: { outcome, earliest } }: ImageView): number {
  return outcome === 'reached' ? Number.POSITIVE_INFINITY : (earliest ?? Number.POSITIVE_INFINITY);
}

function orderOf({ sort, descending }: ImageQuery): Compare {
  if (sort === 'danger') return descending ? byDanger : (a, b) => byDanger(b, a);
  if (sort === 'path') return descending ? (a, b) => byPath(b, a) : byPath;
  if (sort === 'growth') return byNumber((image) => image.growth.high, descending);
  return byNumber((image) => image[sort], descending);
}

/** The images of one moment. Each order is made when it is first asked for, and serves all pages until something changes. */
export class ImageIndex {
  readonly #images: readonly ImageView[];
  readonly #byId: ReadonlyMap<string, ImageView>;
  readonly #sorted = new Map<string, readonly ImageView[]>();

  constructor(images: readonly ImageView[]) {
    this.#images = images;
    this.#byId = new Map(images.map((image) => [image.id, image]));
  }

  get(id: string): ImageView | undefined {
    return this.#byId.get(id);
  }

  page(query: ImageQuery): ImagePage {
    const search = query.search?.toLowerCase() ?? '';
    const sorted = this.#inOrder(query);
    const found = search === '' ? sorted : sorted.filter(({ path }) => path.toLowerCase().includes(search));
    return { total: found.length, offset: query.offset, images: found.slice(query.offset, query.offset + query.limit) };
  }

  /** Equal ones by path, so that pages do not overlap. */
  #inOrder(query: ImageQuery): readonly ImageView[] {
    const key = JSON.stringify([query.store ?? null, query.sort, query.descending]);
    const known = this.#sorted.get(key);
    if (known !== undefined) return known;
    const order = orderOf(query);
    const ofStore = query.store === undefined ? this.#images : this.#images.filter(({ store }) => store === query.store);
    const sorted = ofStore.toSorted((a, b) => order(a, b) || byPath(a, b));
    this.#sorted.set(key, sorted);
    return sorted;
  }
}
