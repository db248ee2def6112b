/** All images of all stores. */
import type { JSX } from 'preact';
import { Heading } from '../parts/heading.tsx';
import { ImageTable } from '../parts/image-table.tsx';

export function ImagesPage({ search }: { readonly search: string }): JSX.Element {
  return (
    <>
      <Heading>Images</Heading>
      <ImageTable store="" search={search} caption="Images of all stores; highest risk first, unless sorted otherwise" />
    </>
  );
}
