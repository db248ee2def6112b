import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { isBoundedJson } from './bounded-json.ts';

const bounded = (text: string): boolean => isBoundedJson(new TextEncoder().encode(text));

describe('isBoundedJson()', () => {
  it('accepts every small JSON value', () => {
    fc.assert(fc.property(fc.jsonValue({ maxDepth: 10 }), (value) => bounded(JSON.stringify(value))));
  });

  it('does not count what stands in strings', () => {
    expect(bounded(JSON.stringify({ a: '['.repeat(300_000), b: '\\"[{,' }))).toBe(true);
  });

  it.each([
    ['arrays in arrays', '['.repeat(17)],
    ['objects in objects', '{"a":'.repeat(17)],
    ['many empty objects', `[${'{},'.repeat(200_000)}{}]`],
    ['many numbers', `[${'1,'.repeat(200_000)}1]`],
    ['many keys', `{${Array.from({ length: 100_000 }, (_, index) => `"${index}":1`).join(',')}}`],
    ['a string that hides the brackets with an escaped quote', `["\\\\",${'['.repeat(17)}`],
  ])('refuses %s', (_, text) => {
    expect(bounded(text)).toBe(false);
  });
});
