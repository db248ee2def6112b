import { describe, expect, it } from 'vitest';
import type { ImageQuery, ImageView, Outlook } from '#wire';
import { imageIdOf, ImageIndex } from './image-views.ts';

const never: Outlook = { outcome: 'never', earliest: null, latest: null, reason: null };

function image(path: string, rest: Partial<ImageView> = {}): ImageView {
  return {
    path,
    id: imageIdOf('s', path),
    store: 's',
    residual: 0,
    reclaimable: 0,
    commitment: 1,
    findings: [],
    neverWritten: null,
    toCommitment: never,
    ...rest,
  } as unknown as ImageView;
}

const QUERY: ImageQuery = { sort: 'risk', descending: true, offset: 0, limit: 10 };
const pathsOf = (index: ImageIndex, query: Partial<ImageQuery>): string[] =>
  index.page({ ...QUERY, ...query }).images.map(({ path }) => path);

describe('the pages of images', () => {
  const index = new ImageIndex([
    image('/small', { residual: 1, allocation: 5 }),
    image('/large', { residual: 9, allocation: null }),
    image('/soon', { residual: 2, allocation: 7, toCommitment: { outcome: 'expected', earliest: 60, latest: null, reason: null } }),
    image('/broken', { residual: null, allocation: 6, error: { kind: 'corrupt', code: 'X', message: 'x' } }),
    image('/boundless', { residual: null, allocation: 4, commitment: null }),
    image('/Other', { store: 't', residual: 3, allocation: 1 }),
  ]);

  it('put first images of unknown growth, then those full soonest, then those with the largest residual', () => {
    expect(pathsOf(index, {})).toEqual(['/boundless', '/broken', '/soon', '/large', '/Other', '/small']);
  });

  it('put last what is not known, in either direction', () => {
    expect(pathsOf(index, { sort: 'allocation', descending: true })).toEqual([
      '/soon',
      '/broken',
      '/small',
      '/boundless',
      '/Other',
      '/large',
    ]);
    expect(pathsOf(index, { sort: 'allocation', descending: false })).toEqual([
      '/Other',
      '/boundless',
      '/small',
      '/broken',
      '/soon',
      '/large',
    ]);
  });

  it('find by part of the path, whatever its case, and by store', () => {
    expect(pathsOf(index, { search: 'other' })).toEqual(['/Other']);
    expect(pathsOf(index, { store: 't' })).toEqual(['/Other']);
  });

  it('do not overlap, and say how many there are', () => {
    const equals = new ImageIndex(Array.from({ length: 25 }, (_, at) => image(`/${String(at).padStart(2, '0')}`)));
    const pages = [0, 10, 20].map((offset) => equals.page({ ...QUERY, offset }));
    expect(new Set(pages.flatMap(({ images }) => images.map(({ id }) => id))).size).toBe(25);
    expect(pages.map(({ total }) => total)).toEqual([25, 25, 25]);
  });

  it('give an image the same id as long as its store and name stay', () => {
    expect(imageIdOf('s', '/a')).toBe(imageIdOf('s', '/a'));
    expect(imageIdOf('s', '/a')).not.toBe(imageIdOf('t', '/a'));
    expect(imageIdOf('s', '/a')).toMatch(/^[0-9a-f]{16}$/);
  });
});
