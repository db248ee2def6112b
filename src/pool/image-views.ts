/** Images as a daemon shows them: named, ranked by danger, a page at a time. Pure. */
import { createHash } from 'node:crypto';
import type { ImagePage, ImageView } from '#wire';
import type { ImageQuery } from './watch.ts';

const ID_DIGITS = 16;

/** What an image is called in addresses: the same as long as its store and its name stay. */
export function imageIdOf(store: string, path: string): string {
  return createHash('sha256').update(`${store}\0${path}`).digest('hex').slice(0, ID_DIGITS);
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

/** What cannot be read first: nobody knows how dangerous it is. Then what is soonest at its commitment, then by residual. */
function byDanger(a: ImageView, b: ImageView): number {
  const unreadable = Number(b.error !== undefined) - Number(a.error !== undefined);
  if (unreadable !== 0) return unreadable;
  const [soonA, soonB] = [a, b].map((image) => image.toCommitment.earliest ?? Number.POSITIVE_INFINITY) as [number, number];
  if (soonA !== soonB) return soonA < soonB ? -1 : 1;
  return (b.residual ?? 0) - (a.residual ?? 0);
}

function orderOf({ sort, descending }: ImageQuery): Compare {
  if (sort === 'danger') return descending ? byDanger : (a, b) => byDanger(b, a);
  if (sort === 'path') return descending ? (a, b) => byPath(b, a) : byPath;
  if (sort === 'growth') return byNumber((image) => image.growth.high, descending);
  return byNumber((image) => image[sort], descending);
}

/**
 * The images of one moment. Each order is made when it is first asked for, and serves all pages until something changes.
 * Then it is made from the one before, which is nearly right: that sorts ten times as fast.
 */
export class ImageIndex {
  readonly #images: readonly ImageView[];
  readonly #byId: ReadonlyMap<string, ImageView>;
  readonly #sorted = new Map<string, readonly ImageView[]>();
  readonly #sortedBefore: ReadonlyMap<string, readonly ImageView[]>;
  /** Paths in small letters, when somebody searches. */
  #small: ReadonlyMap<ImageView, string> | undefined;

  /** `before`: the index of an earlier moment. */
  constructor(images: readonly ImageView[], before?: ImageIndex) {
    this.#images = images;
    this.#byId = new Map(images.map((image) => [image.id, image]));
    this.#sortedBefore = before === undefined ? new Map() : new Map([...before.#sortedBefore, ...before.#sorted]);
  }

  get(id: string): ImageView | undefined {
    return this.#byId.get(id);
  }

  /** All of an order is the same list each time, as long as nothing changes. */
  page(query: ImageQuery): ImagePage {
    const found = this.#found(query);
    const isWhole = query.offset === 0 && query.limit >= found.length;
    return {
      total: found.length,
      offset: query.offset,
      images: isWhole ? found : found.slice(query.offset, query.offset + query.limit),
    };
  }

  #found(query: ImageQuery): readonly ImageView[] {
    const search = query.search?.toLowerCase() ?? '';
    const sorted = this.#inOrder(query);
    if (search === '') return sorted;
    this.#small ??= new Map(this.#images.map((image) => [image, image.path.toLowerCase()]));
    return sorted.filter((image) => this.#small?.get(image)?.includes(search) === true);
  }

  /** Equal ones by path, so that pages do not overlap. */
  #inOrder(query: ImageQuery): readonly ImageView[] {
    const key = JSON.stringify([query.store ?? null, query.sort, query.descending]);
    const known = this.#sorted.get(key);
    if (known !== undefined) return known;
    const order = orderOf(query);
    const sorted = this.#nearlySorted(key, query.store).sort((a, b) => order(a, b) || byPath(a, b));
    this.#sorted.set(key, sorted);
    return sorted;
  }

  /** The images, of one store if that is asked, in the order of before, and behind them those that were not there. */
  #nearlySorted(key: string, store: string | undefined): ImageView[] {
    const asked = store === undefined ? this.#images : this.#images.filter((image) => image.store === store);
    const before = this.#sortedBefore.get(key);
    if (before === undefined) return [...asked];
    const left = new Set(asked);
    const still = before.flatMap(({ id }) => {
      const now = this.#byId.get(id);
      return now !== undefined && left.delete(now) ? now : [];
    });
    return [...still, ...left];
  }
}
