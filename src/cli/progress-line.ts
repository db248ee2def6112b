/** A progress line on a terminal that is overwritten in place and cleared at the end; silent elsewhere. */
import type { Theme } from './render/theme.ts';

export interface ProgressLine {
  /** Shows `text` (ASCII, one column per character), unless the previous one was shown too recently. */
  show(text: string): void;
  clear(): void;
}

/** Milliseconds between updates: often enough to show progress, rarely enough to cost nothing. */
const INTERVAL_MS = 100;
const ERASE_LINE = '\r\u001b[K';

export function progressLine(stream: NodeJS.WriteStream, theme: Theme): ProgressLine {
  let shownAt = Number.NEGATIVE_INFINITY;
  if (!theme.terminal) return { show: () => {}, clear: () => {} };
  return {
    show: (text) => {
      const now = performance.now();
      if (now - shownAt < INTERVAL_MS) return;
      shownAt = now;
      // A full line would wrap on some terminals, and then could not be erased.
      stream.write(`${ERASE_LINE}${text.slice(0, theme.width - 1)}`);
    },
    clear: () => {
      if (shownAt > Number.NEGATIVE_INFINITY) stream.write(ERASE_LINE);
    },
  };
}
