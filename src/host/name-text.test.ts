import { describe, expect, it } from 'vitest';
import { nameText } from './name-text.ts';

const bytes = (...list: (number | string)[]): Buffer =>
  Buffer.concat(list.map((one) => (typeof one === 'string' ? Buffer.from(one) : Buffer.of(one))));

describe('nameText()', () => {
  it.each([
    ['plain', bytes('web.qcow2'), 'web.qcow2'],
    ['UTF-8', bytes('büro 🚢'), 'büro 🚢'],
    ['a real U+FFFD', bytes('a\ufffd'), 'a\ufffd'],
    ['a stray byte', bytes('a', 0xff, '.raw'), 'a\udcff.raw'],
    ['a real U+FFFD beside a stray byte', bytes('\ufffd', 0x80), '\ufffd\udc80'],
    ['a character that is cut off', bytes('a', 0xe2, 0x82), 'a\udce2\udc82'],
    ['a surrogate in UTF-8, which is none', bytes(0xed, 0xb3, 0xbf), '\udced\udcb3\udcbf'],
    ['an overlong form', bytes(0xc0, 0xaf), '\udcc0\udcaf'],
    ['a text', 'as it is', 'as it is'],
  ])('%s', (_name, name, text) => {
    expect(nameText(name)).toBe(text);
  });

  it('gives different names different texts', () => {
    const names = Array.from({ length: 256 }, (_, byte) => Array.from({ length: 64 }, (__, second) => bytes(byte, 4 * second + 1))).flat();
    expect(new Set(names.map(nameText)).size).toBe(names.length);
  });
});
