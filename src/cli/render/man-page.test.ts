import { describe, expect, it } from 'vitest';
import { roff } from './man-page.ts';

describe('roff()', () => {
  it.each([
    ['--floor 20G', '\\-\\-floor 20G'],
    ["find -name '*.raw'", 'find \\-name \\(aq*.raw\\(aq'],
    ['.hidden', '\\&.hidden'],
    ['back\\slash', 'back\\eslash'],
    ['two\n.lines', 'two\n\\&.lines'],
  ])('%j', (text, source) => expect(roff(text)).toBe(source));
});
