/** Breaks lines at spaces, for any measure of width. */

/** `text` broken at spaces into lines of at most `width` columns by `measure`; a longer word stands alone, uncut. */
export function wrapBy(text: string, width: number, measure: (text: string) => number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).filter((one) => one !== '')) {
    if (line !== '' && measure(line) + 1 + measure(word) > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return line === '' && lines.length > 0 ? lines : [...lines, line];
}

/** As `wrapBy` for our own text, one column per character: the module that measures terminal columns is slow to load. */
export function wrapAscii(text: string, width: number): string[] {
  return wrapBy(text, width, (part) => part.length);
}
