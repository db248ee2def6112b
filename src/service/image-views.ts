/** Images as a daemon shows them: named, ranked by risk, a page at a time. Pure. */
import { hash } from 'node:crypto';
import { RISK_KEYS } from '#pool';
import type { ImagePage, ImageQuery, ImageView } from '#wire';

const ID_DIGITS = 16;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** What an image is called in addresses: the same as long as its store and its name stay. A hash takes all lone surrogates for the same. */
export function imageIdOf(store: string, path: string): string {
  return hash('sha256', `${store}\0${LONE_SURROGATE.test(path) ? JSON.stringify(path) : path}`).slice(0, ID_DIGITS);
}

/** What is sorted by, ascending, first by the first; equal ones go by path. */
type Key = (image: ImageView) => number;

/** What is not known goes last, whichever way the rest is sorted. */
function keyBy(of: (image: ImageView) => number | null, descending: boolean): Key[] {
  return [(image) => sizeOr(of(image), descending)];
}

function sizeOr(value: number | null, descending: boolean): number {
  if (value === null) return Number.POSITIVE_INFINITY;
  return descending ? -value : value;
}

/** None: by path alone. */
function keysOf({ sort, descending }: ImageQuery): readonly Key[] {
  if (sort === 'path') return [];
  if (sort === 'risk') return descending ? RISK_KEYS : RISK_KEYS.map((key) => (image: ImageView) => -key(image));
  if (sort === 'growth') return keyBy((image) => image.growth.high, descending);
  return keyBy((image) => image[sort], descending);
}

/** `images`, which are in order of their paths, by `keys`. Numbers that lie together are compared ten times as fast as images. */
function sortedBy(images: readonly ImageView[], keys: readonly Key[]): ImageView[] {
  const columns = keys.map((key) => Float64Array.from(images, key));
  const order = images.map((_, index) => index);
  for (const column of columns.toReversed()) order.sort((a, b) => compareNumbers(column[a] as number, column[b] as number));
  return order.map((index) => images[index] as ImageView);
}

function compareNumbers(a: number, b: number): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function comparePaths(a: ImageView, b: ImageView): number {
  if (a.path === b.path) return 0;
  return a.path < b.path ? -1 : 1;
}

/** The images of one moment. Each order is made when it is first asked for, and serves all pages until something changes. */
export class ImageIndex {
  /** In order of their paths. */
  readonly #images: readonly ImageView[];
  readonly #byId: ReadonlyMap<string, ImageView>;
  readonly #sorted = new Map<string, readonly ImageView[]>();
  /** Lower-case paths, for searches. */
  #small: ReadonlyMap<ImageView, string> | undefined;

  /** `before`: the index of an earlier moment, whose order is nearly that of now. */
  constructor(images: readonly ImageView[], before?: ImageIndex) {
    this.#byId = new Map(images.map((image) => [image.id, image]));
    this.#images = (before === undefined ? [...images] : this.#asBefore(before)).sort(comparePaths);
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
    const { store, sort, descending } = query;
    const key = JSON.stringify([store ?? null, sort, descending]);
    const known = this.#sorted.get(key);
    if (known !== undefined) return known;
    const asked = store === undefined ? this.#images : this.#images.filter((image) => image.store === store);
    const sorted = sort === 'path' && descending ? asked.toReversed() : sortedBy(asked, keysOf(query));
    this.#sorted.set(key, sorted);
    return sorted;
  }

  /** The images in the order of before, and behind them those that were not there. */
  #asBefore(before: ImageIndex): ImageView[] {
    const left = new Map(this.#byId);
    const still = before.#images.flatMap(({ id }) => {
      const now = left.get(id);
      left.delete(id);
      return now ?? [];
    });
    return [...still, ...left.values()];
  }
}
