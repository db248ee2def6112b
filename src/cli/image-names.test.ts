import { describe, expect, it } from 'vitest';
import { imageNames, splitNames } from './image-names.ts';

async function* chunks(...texts: (string | Buffer)[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text as string);
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

describe('splitNames()', () => {
  it('joins names that arrive in several chunks', async () => {
    expect(await all(splitNames(chunks('on', 'e\ntw', 'o\n', '\nthree'), 10))).toEqual(['one', 'two', 'three']);
  });

  it('decodes a character that is split over two chunks', async () => {
    const bytes = Buffer.from('é\0ü\0');
    expect(await all(splitNames(chunks(...[...bytes].map((byte) => Buffer.from([byte]))), 0))).toEqual(['é', 'ü']);
  });

  it('keeps newlines in names separated by NUL', async () => {
    expect(await all(splitNames(chunks('a\nb\0c'), 0))).toEqual(['a\nb', 'c']);
  });

  it('keeps a name that is not UTF-8 as bytes', async () => {
    expect(await all(splitNames(chunks(Buffer.from([0x61, 0xff, 0, 0x62])), 0))).toEqual([Buffer.from([0x61, 0xff]), 'b']);
  });

  it('refuses a name without end instead of buffering it', async () => {
    async function* endless(): AsyncGenerator<Buffer> {
      for (;;) yield Buffer.alloc(4096, 'x');
    }
    await expect(all(splitNames(endless(), 0))).rejects.toMatchObject({ kind: 'usage', code: 'NAME_TOO_LONG' });
  });
});

describe('imageNames()', () => {
  it('takes operands in order, and standard input once, in place of -', async () => {
    const names = imageNames({ operands: ['a', '-', 'b', '-'], nulSeparated: false, input: chunks('x\ny\n') });
    expect(await all(names)).toEqual(['a', 'x', 'y', 'b']);
  });

  it('passes a name that does not exist on unchanged', async () => {
    expect(await all(imageNames({ operands: ['never\ufffdgiven'], nulSeparated: false, input: chunks() }))).toEqual(['never\ufffdgiven']);
  });
});
