/** A table of images, fetched from the server one page at a time in the selected order. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { ImagePage, ImageView } from '#wire';
import { useResource } from '../data/resource.ts';
import { changedImages, imagesEpoch, stores } from '../data/state.ts';
import { describeGrowth, describeOutlook, plural } from '../view/durations.ts';
import { ariaSort, describePage, type ImageListQuery, imageListPath, type Sort, sortedBy } from '../view/image-query.ts';
import { splitPath } from '../view/names.ts';
import { definitionId, type Word } from '../view/words.ts';
import { Link, StoreLink } from './link.tsx';
import { Badge, Bytes, Empty, Name, Path, Problem } from './text.tsx';

interface TableChoice {
  /** A store's id; empty: the images of all stores. */
  readonly store: string;
  readonly search?: string;
  readonly limit?: number;
  readonly caption: string;
  /** Only the first page, without search and paging. */
  readonly isShort?: boolean;
}

const SEARCH_PAUSE_MS = 250;

export function ImageTable({ store, search = '', limit = 25, caption, isShort = false }: TableChoice): JSX.Element {
  const [query, setQuery] = useState<ImageListQuery>({ store, search, sort: 'risk', descending: true, offset: 0, limit });
  const { value, error, isLoading } = useResource<ImagePage>(imageListPath(query), imagesEpoch.value);
  const hasStore = store === '' && stores.value.length > 1;
  const newest = changedImages.value;
  const images = (value?.images ?? []).map((image) => newest.get(image.id) ?? image);
  return (
    <div class={isShort ? 'images short' : 'images'} aria-busy={isLoading}>
      {isShort ? null : <Search search={search} onSearch={(text) => setQuery((before) => ({ ...before, search: text, offset: 0 }))} />}
      {error === undefined ? null : <Problem error={error} />}
      {value !== undefined && images.length === 0 ? (
        <Empty>{query.search === '' ? 'No images found.' : 'No image path matches.'}</Empty>
      ) : (
        <table class="cards" role="table">
          <caption>{caption}</caption>
          <Head query={query} hasStore={hasStore} onSort={(sort) => setQuery((before) => sortedBy(before, sort))} />
          <tbody role="rowgroup">
            {images.map((image) => (
              <Row key={image.id} image={image} hasStore={hasStore} />
            ))}
          </tbody>
        </table>
      )}
      {isShort ? null : <Pages query={query} page={value} onTurn={(offset) => setQuery((before) => ({ ...before, offset }))} />}
    </div>
  );
}

function Search({ search, onSearch }: { readonly search: string; readonly onSearch: (text: string) => void }): JSX.Element {
  const [text, setText] = useState(search);
  useEffect(() => {
    if (text === search) return undefined;
    const timer = setTimeout(() => onSearch(text), SEARCH_PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <search class="search">
      <label>
        Part of the path
        <input type="search" value={text} onInput={(event) => setText(event.currentTarget.value)} autoComplete="off" spellcheck={false} />
      </label>
    </search>
  );
}

const COLUMNS: readonly (readonly [Sort, string, Word | null])[] = [
  ['risk', 'Full', null],
  ['capacity', 'Capacity', 'capacity'],
  ['length', 'Length', 'length'],
  ['allocation', 'Allocation', 'allocation'],
  ['commitment', 'Commitment', 'commitment'],
  ['residual', 'Residual', 'residual'],
  ['exclusive', 'Exclusive', 'exclusive'],
  ['growth', 'Growth per day', 'growth rate'],
];

const ARROWS = { none: '↕', ascending: '↑', descending: '↓' } as const;

interface HeadChoice {
  readonly query: ImageListQuery;
  readonly hasStore: boolean;
  readonly onSort: (sort: Sort) => void;
}

function Head({ query, hasStore, onSort }: HeadChoice): JSX.Element {
  const sortable = (sort: Sort, label: string, word: Word | null, name?: string): JSX.Element => (
    <th scope="col" role="columnheader" aria-sort={ariaSort(query, sort)} class={name} key={sort}>
      <button
        type="button"
        class="sort"
        onClick={() => onSort(sort)}
        {...(word === null ? {} : { 'data-definition': word, 'aria-describedby': definitionId(word) })}
      >
        {label}
        <span class="arrow" aria-hidden="true">
          {ARROWS[ariaSort(query, sort)]}
        </span>
      </button>
    </th>
  );
  return (
    <thead role="rowgroup">
      <tr role="row">
        {sortable('path', 'Image', null)}
        {hasStore ? (
          <th scope="col" role="columnheader">
            Store
          </th>
        ) : null}
        {COLUMNS.map(([sort, label, word]) => sortable(sort, label, word, 'number'))}
      </tr>
    </thead>
  );
}

function Row({ image, hasStore }: { readonly image: ImageView; readonly hasStore: boolean }): JSX.Element {
  const figures = [image.capacity, image.length, image.allocation, image.commitment, image.residual, image.exclusive];
  return (
    <tr role="row">
      <th scope="row" role="rowheader">
        <Link to={{ page: 'image', id: image.id }}>
          <Path path={image.path} />
        </Link>
        <Relations image={image} />
      </th>
      {hasStore ? (
        <td role="cell" data-label="Store">
          <StoreLink id={image.store} />
        </td>
      ) : null}
      <td role="cell" class="number" data-label="Full" title={image.toCommitment.reason ?? undefined}>
        {image.toCommitment.outcome === 'reached' ? 'full' : describeOutlook(image.toCommitment)}
      </td>
      {figures.map((bytes, index) => (
        <td role="cell" class="number" key={index} data-label={COLUMNS[index + 1]?.[1]}>
          <Bytes bytes={bytes} />
          {index === 5 && (image.shared ?? 0) > 0 ? (
            <small>
              + <Bytes bytes={image.shared} /> shared
            </small>
          ) : null}
        </td>
      ))}
      <td role="cell" class="number wraps" data-label="Growth per day" title={image.growth.unknown ?? undefined}>
        {describeGrowth(image.growth)}
      </td>
    </tr>
  );
}

/** Its format, its backing file, its overlays, its VM. */
function Relations({ image }: { readonly image: ImageView }): JSX.Element {
  const backing = image.chain.find(({ role, depth }) => role === 'backing' && depth === 1);
  return (
    <small class="relations">
      {image.error === undefined ? (
        <span class="format">{image.format ?? 'unknown format'}</span>
      ) : (
        <Badge tone="danger" word="unreadable" />
      )}
      {backing === undefined ? null : (
        <span>
          on <Name name={splitPath(backing.path ?? backing.name).name} />
        </span>
      )}
      {image.backingOf.length === 0 ? null : <span>backs {plural(image.backingOf.length, 'image')}</span>}
      {image.machine === null ? null : (
        <span>
          of VM <Name name={image.machine} />
        </span>
      )}
    </small>
  );
}

interface PagesChoice {
  readonly query: ImageListQuery;
  readonly page: ImagePage | undefined;
  readonly onTurn: (offset: number) => void;
}

function Pages({ query, page, onTurn }: PagesChoice): JSX.Element | null {
  if (page === undefined) return null;
  const { offset, limit } = query;
  return (
    <nav class="pages" aria-label="Pages of images">
      <button type="button" disabled={offset === 0} onClick={() => onTurn(Math.max(0, offset - limit))}>
        Previous
      </button>
      <span aria-live="polite">{describePage(page.offset, page.images.length, page.total)}</span>
      <button type="button" disabled={offset + limit >= page.total} onClick={() => onTurn(offset + limit)}>
        Next
      </button>
    </nav>
  );
}
