/** Resolves an image by its path, for links from trees and chains. */
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import type { ImagePage } from '#wire';
import { useResource } from '../data/resource.ts';
import { hrefOf } from '../view/route.ts';
import { Heading } from '../parts/heading.tsx';
import { Empty, Path, Problem } from '../parts/text.tsx';

/** An image by its path: redirects to its page, or reports that it was not found. */
export function FindPage({ store, path }: { readonly store: string; readonly path: string }): JSX.Element {
  const query = new URLSearchParams({ ...(store === '' ? {} : { store }), search: path, sort: 'path', limit: '50' });
  const { value, error, isLoading } = useResource<ImagePage>(`images?${query.toString()}`);
  const found = value?.images.find((image) => image.path === path || image.aliases.includes(path));
  useEffect(() => {
    if (found !== undefined) location.replace(hrefOf({ page: 'image', id: found.id }));
  }, [found]);
  return (
    <>
      <Heading>
        <Path path={path} />
      </Heading>
      {error === undefined ? null : <Problem error={error} />}
      {isLoading || found !== undefined ? (
        <Empty>Searching for the image.</Empty>
      ) : (
        <Empty>No monitored store contains an image with this path.</Empty>
      )}
    </>
  );
}
