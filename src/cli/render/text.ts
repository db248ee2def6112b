/** Wraps, pads and shortens text by its width on a terminal, not by its number of characters. */
import stringWidth from 'string-width';
import { wrapBy } from './wrap.ts';

/** `text` broken at spaces into lines of at most `width` columns; a longer word stands alone, uncut. */
export function wrap(text: string, width: number): string[] {
  return wrapBy(text, width, stringWidth);
}

/** `wrap` with `first` before the first line and blanks of the same width before the others. */
export function wrapAfter(first: string, text: string, width: number): string[] {
  const indent = ' '.repeat(stringWidth(first));
  return wrap(text, width - indent.length).map((line, index) => (index === 0 ? first : indent) + line);
}

export function padStart(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - stringWidth(text))) + text;
}

export function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - stringWidth(text)));
}

/** `text` in at most `width` columns with the middle left out: the beginning of a path and its name carry the most information. */
export function shortenMiddle(text: string, width: number): string {
  if (stringWidth(text) <= width) return text;
  const graphemes = Array.from(new Intl.Segmenter().segment(text), (one) => one.segment);
  const room = width - 1;
  const tail = takeColumns(graphemes.toReversed(), Math.ceil((room * 2) / 3))
    .toReversed()
    .join('');
  const head = takeColumns(graphemes, room - stringWidth(tail)).join('');
  return `${head}…${tail}`;
}

/** As many of the first graphemes as `width` columns hold. */
function takeColumns(graphemes: readonly string[], width: number): string[] {
  const taken: string[] = [];
  let columns = 0;
  for (const grapheme of graphemes) {
    columns += stringWidth(grapheme);
    if (columns > width) break;
    taken.push(grapheme);
  }
  return taken;
}
