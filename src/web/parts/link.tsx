/** Links to pages of this dashboard. */
import type { ComponentChildren, JSX } from 'preact';
import { storeOf } from '../data/state.ts';
import { hrefOf, type Route } from '../view/route.ts';
import { Name } from './text.tsx';

export function Link({
  to,
  children,
  class: name,
}: {
  readonly to: Route;
  readonly children: ComponentChildren;
  readonly class?: string;
}): JSX.Element {
  return (
    <a href={hrefOf(to)} class={name}>
      {children}
    </a>
  );
}

/** A link to a store, by its mount point. */
export function StoreLink({ id }: { readonly id: string }): JSX.Element {
  return (
    <Link to={{ page: 'store', id }}>
      <Name name={storeOf(id)?.mount ?? id} />
    </Link>
  );
}
