/** The page, order and filter of the image table. Pure. */

export const SORTS = ['risk', 'path', 'capacity', 'length', 'allocation', 'commitment', 'residual', 'exclusive', 'growth'] as const;
export type Sort = (typeof SORTS)[number];

export interface ImageListQuery {
  /** A store's id, empty for all. */
  readonly store: string;
  readonly search: string;
  readonly sort: Sort;
  readonly descending: boolean;
  readonly offset: number;
  readonly limit: number;
}

/** Sorts by `sort`; again by the same, in reverse. Names start with A, figures with the largest. */
export function sortedBy(query: ImageListQuery, sort: Sort): ImageListQuery {
  const descending = query.sort === sort ? !query.descending : sort !== 'path';
  return { ...query, sort, descending, offset: 0 };
}

export function ariaSort(query: ImageListQuery, sort: Sort): 'ascending' | 'descending' | 'none' {
  if (query.sort !== sort) return 'none';
  return query.descending ? 'descending' : 'ascending';
}

/** The address of the page, below the API's own. */
export function imageListPath(query: ImageListQuery): string {
  const { store, search, sort, descending, offset, limit } = query;
  const parameters = new URLSearchParams({ sort, descending: String(descending), offset: String(offset), limit: String(limit) });
  if (store !== '') parameters.set('store', store);
  if (search !== '') parameters.set('search', search);
  return `images?${parameters.toString()}`;
}

/** `1–50 of 10,000`, `none`. */
export function describePage(offset: number, shown: number, total: number): string {
  const number = (count: number): string => count.toLocaleString('en-GB');
  return shown === 0 ? 'none' : `${number(offset + 1)}–${number(offset + shown)} of ${number(total)}`;
}
