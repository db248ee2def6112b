/** docs/glossary.md is the glossary of the source, and the glossary has one definition per word. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GLOSSARY, glossaryPage } from '../../src/wire/glossary.ts';
import { ROOT } from './source.ts';

describe('the glossary', () => {
  it('is the page in docs/', async () => {
    await expect(glossaryPage()).toMatchFileSnapshot(join(ROOT, 'docs', 'glossary.md'));
  });

  it('defines each word once', () => {
    const words = GLOSSARY.flatMap((section) => Object.keys(section.words));
    expect(words.filter((word, index) => words.indexOf(word) !== index)).toEqual([]);
  });
});
