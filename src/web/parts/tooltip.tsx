/** The tooltip: the definition of the word that is hovered or focused. Escape closes it. */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { type Word, WORDS } from '../view/words.ts';

interface Shown {
  readonly text: string;
  readonly target: DOMRect;
}

const GAP = 8;

export function Tooltip(): JSX.Element {
  const [shown, setShown] = useState<Shown | null>(null);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => followPointer(setShown), []);
  useEffect(() => {
    if (box.current !== null && shown !== null) place(box.current, shown.target);
  }, [shown]);
  // Screen readers use aria-describedby of the word itself.
  return (
    <div ref={box} class="tooltip" hidden={shown === null} aria-hidden="true">
      {shown?.text}
    </div>
  );
}

function followPointer(show: (shown: Shown | null) => void): () => void {
  const over = (event: Event): void => {
    const target = event.target instanceof Element ? event.target.closest<HTMLElement>('[data-definition]') : null;
    const word = target?.dataset['definition'] as Word | undefined;
    show(target === null || word === undefined ? null : { text: `${word}: ${WORDS[word]}`, target: target.getBoundingClientRect() });
  };
  const away = (): void => show(null);
  const onKey = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') show(null);
  };
  const pairs = [
    ['pointerover', over],
    ['focusin', over],
    ['focusout', away],
    ['scroll', away],
  ] as const;
  for (const [type, listener] of pairs) addEventListener(type, listener, { passive: true, capture: true });
  addEventListener('keydown', onKey);
  return () => {
    for (const [type, listener] of pairs) removeEventListener(type, listener, { capture: true });
    removeEventListener('keydown', onKey);
  };
}

/** Below the target or, where space is lacking, above it; never outside the window. */
function place(box: HTMLElement, target: DOMRect): void {
  const { width, height } = box.getBoundingClientRect();
  const isRoomBelow = target.bottom + GAP + height < innerHeight;
  box.style.left = `${Math.max(GAP, Math.min(target.left, innerWidth - width - GAP))}px`;
  box.style.top = `${isRoomBelow ? target.bottom + GAP : target.top - GAP - height}px`;
}
