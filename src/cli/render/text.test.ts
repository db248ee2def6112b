import fc from 'fast-check';
import stringWidth from 'string-width';
import { describe, expect, it } from 'vitest';
import { padEnd, padStart, shortenMiddle, wrap, wrapAfter } from './text.ts';
import { themeOf } from './theme.ts';

describe('wrap()', () => {
  it('breaks at spaces', () => expect(wrap('one two three', 7)).toEqual(['one two', 'three']));
  it('keeps a long word whole, since it may be a path', () =>
    expect(wrap('see /a/very/long/path now', 8)).toEqual(['see', '/a/very/long/path', 'now']));
  it('counts wide characters as two columns', () => expect(wrap('設計 図面', 6)).toEqual(['設計', '図面']));
  it('returns one empty line for an empty text', () => expect(wrap('', 10)).toEqual(['']));
});

describe('wrapAfter()', () => {
  it('indents the lines that follow', () => expect(wrapAfter('  a: ', 'b c d', 8)).toEqual(['  a: b c', '     d']));
});

describe('padding', () => {
  it('counts columns', () => {
    expect(padStart('図', 4)).toBe('  図');
    expect(padEnd('図', 4)).toBe('図  ');
    expect(padEnd('long', 2)).toBe('long');
  });
});

describe('shortenMiddle()', () => {
  it('leaves a text that fits', () => expect(shortenMiddle('web.qcow2', 9)).toBe('web.qcow2'));
  it('keeps the beginning and more of the end', () =>
    expect(shortenMiddle('/srv/vm/customers/4711/web.qcow2', 20)).toBe('/srv/v…711/web.qcow2'));
  it('never exceeds the width, nor breaks a character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), fc.integer({ min: 5, max: 40 }), (text, width) => {
        const short = shortenMiddle(text, width);
        expect(stringWidth(short)).toBeLessThanOrEqual(width);
        expect(Buffer.from(short).toString()).toBe(short); // a broken pair would become U+FFFD
      }),
    );
  });
});

describe('themeOf()', () => {
  const terminal = { isTTY: true, columns: 120 };
  it('colours a terminal', () => expect(themeOf(terminal, { TERM: 'xterm' }).paint('danger', 'x')).toBe('\u001b[31mx\u001b[0m'));
  it.each([{ NO_COLOR: '1' }, { TERM: 'dumb' }])('does not under %o', (env) =>
    expect(themeOf(terminal, env).paint('danger', 'x')).toBe('x'),
  );
  it('ignores an empty NO_COLOR, as no-color.org asks', () => expect(themeOf(terminal, { NO_COLOR: '' }).paint('good', 'x')).not.toBe('x'));
  it('never colours a pipe', () => expect(themeOf({}, { TERM: 'xterm', FORCE_COLOR: '1' }).paint('danger', 'x')).toBe('x'));
  it('takes the width of the terminal, else COLUMNS, else 80', () => {
    expect(themeOf(terminal, { COLUMNS: '60' }).width).toBe(120);
    expect(themeOf({}, { COLUMNS: '100' }).width).toBe(100);
    expect(themeOf({}, { COLUMNS: 'wide' }).width).toBe(80);
  });
});
