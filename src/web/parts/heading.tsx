/** The heading of a page, which is also the title of its window. */
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

export function Heading({ children }: { readonly children: ComponentChildren }): JSX.Element {
  const heading = useRef<HTMLHeadingElement>(null);
  // After every change of the text, hence without dependencies.
  useEffect(() => {
    document.title = `${heading.current?.textContent ?? ''} · plimsoll`;
  });
  return <h1 ref={heading}>{children}</h1>;
}
