import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { escapeForTerminal, escapeSentence, quoteForHumans } from './quote.ts';

/** What can move the cursor, forge a line, or show text in another order than it is. */
const HARMFUL = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]|\p{Cs}/u;

describe('escapeForTerminal()', () => {
  it.each([
    ['plain/path-1.qcow2', 'plain/path-1.qcow2'],
    ['größe 磁盘 💽', 'größe 磁盘 💽'],
    ['\u001b[2J', '\\x1b[2J'],
    ['a\nb\tc\rd', 'a\\nb\\tc\\rd'],
    ['\u009b31m\u007f', '\\x9b31m\\x7f'],
    ['\u202egpj.exe', '\\u202egpj.exe'],
    ['\ud800x\udc00', '\\ud800x\\udc00'],
    ['\\n', '\\\\n'],
    ['\ufffd\ufeff', '\\ufffd\\ufeff'],
    ['a\u00adb\u034fc\u180e', 'a\\xadb\\u034fc\\u180e'],
    ['\u206a\u206f\ufff9\ufffb', '\\u206a\\u206f\\ufff9\\ufffb'],
    ['\u3164\u115f\uffa0\u17b4', '\\u3164\\u115f\\uffa0\\u17b4'],
    ['disk\ufe0f\u{e0100}\u{e0041}', 'disk\\ufe0f\\u{e0100}\\u{e0041}'],
  ])('%j becomes %j', (text, escaped) => {
    expect(escapeForTerminal(text)).toBe(escaped);
  });

  it('leaves nothing harmful, whatever comes', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !HARMFUL.test(escapeForTerminal(text))));
    for (let code = 0; code <= 0xffff; code += 1) expect(escapeForTerminal(`a${String.fromCharCode(code)}b`)).not.toMatch(HARMFUL);
  });

  it('keeps different names different', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        fc.string({ unit: 'binary' }),
        (a, b) => a === b || escapeForTerminal(a) !== escapeForTerminal(b),
      ),
    );
  });
});

describe('escapeSentence()', () => {
  it('shows what is quoted in it once, as it was escaped', () => {
    const name = 'a\\b\u001b[2J';
    expect(escapeSentence(`The parent is ${quoteForHumans(name)}.`)).toBe('The parent is a\\\\b\\x1b[2J.');
    expect(escapeForTerminal(`The parent is ${quoteForHumans(name)}.`)).toBe('The parent is a\\\\\\\\b\\\\x1b[2J.');
  });

  it('leaves nothing harmful, whatever comes', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !HARMFUL.test(escapeSentence(text))));
  });
});

describe('quoteForHumans()', () => {
  it('cuts to so many characters, the ellipsis counted', () => {
    expect(quoteForHumans('x'.repeat(64))).toBe('x'.repeat(64));
    expect(quoteForHumans('x'.repeat(65))).toBe(`${'x'.repeat(63)}…`);
    expect(quoteForHumans('abcdef', 4)).toBe('abc…');
  });

  it('does not leave half of a pair harmful where it cuts', () => {
    expect(quoteForHumans(`${'x'.repeat(62)}💽💽`)).not.toMatch(HARMFUL);
  });
});
