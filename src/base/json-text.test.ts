import { describe, expect, it } from 'vitest';
import { jsonText } from './json-text.ts';

describe('jsonText()', () => {
  it.each([
    ['C1 controls and DEL', '\u007f\u0080\u009b31m\u009f'],
    ['bidirectional controls', 'a\u202eb\u202a\u2066c\u2069\u200f\u061c'],
    ['what is not shown', '\u200b\u200d\u2060\ufeff\u00ad\u180e\u{e0041}'],
    ['fillers, variation selectors and annotation', '\u034f\u3164\uffa0\ufe0f\u{e0100}\ufff9'],
    ['line separators', 'a\u2028b\u2029c'],
    ['C0 controls', '\u0000\u001b[31m\n\t'],
    ['lone surrogates', '\ud800 \udfff'],
  ])('escapes %s, and reads back as the same', (_, text) => {
    const json = jsonText({ [text]: [text] });
    // oxlint-disable-next-line no-control-regex
    expect(json).toMatch(/^[\u0020-\u007e]*$/);
    expect(JSON.parse(json)).toEqual({ [text]: [text] });
  });

  it('leaves other text, quotes and backslashes as JSON has them', () => {
    const value = { name: 'ü 漢字 😀 "\\u202e"', list: [1, null, true] };
    expect(jsonText(value)).toBe(JSON.stringify(value));
    expect(jsonText(value, 2)).toBe(JSON.stringify(value, null, 2));
  });
});
