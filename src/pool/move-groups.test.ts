import { describe, expect, it } from 'vitest';
import type { ChainLink, ImageView } from '#wire';
import { groupsOf, sharedBasesOf } from './move-groups.ts';

const link = (path: string): ChainLink => ({
  role: 'backing',
  depth: 1,
  name: path,
  path,
  declaredFormat: 'qcow2',
  format: 'qcow2',
  status: 'opened',
  capacity: 0,
  length: 0,
  allocation: 0,
});

function image(path: string, rest: { machine?: string; backing?: string; backingOf?: readonly string[] } = {}): ImageView {
  const chain = rest.backing === undefined ? [] : [link(rest.backing)];
  return { path, machine: rest.machine ?? null, chain, backingOf: rest.backingOf ?? [] } as unknown as ImageView;
}

const pathsOf = (groups: readonly (readonly ImageView[])[]): string[][] => groups.map((group) => group.map(({ path }) => path).toSorted());

describe('groups of images that move together', () => {
  it('leaves strangers apart', () => {
    expect(pathsOf(groupsOf([image('/a'), image('/b')]))).toEqual([['/a'], ['/b']]);
  });

  it('keeps the disks of a machine together', () => {
    const images = [image('/a', { machine: 'web' }), image('/b'), image('/c', { machine: 'web' })];
    expect(pathsOf(groupsOf(images))).toEqual([['/a', '/c'], ['/b']]);
  });

  it('keeps an overlay with the backing file that serves it alone, however deep', () => {
    const images = [
      image('/base', { backingOf: ['/mid'] }),
      image('/mid', { backing: '/base', backingOf: ['/top'] }),
      image('/top', { backing: '/mid' }),
    ];
    expect(pathsOf(groupsOf(images))).toEqual([['/base', '/mid', '/top']]);
  });

  it('lets a backing file of several overlays stay, and names it', () => {
    const images = [
      image('/base', { backingOf: ['/one', '/two'] }),
      image('/one', { backing: '/base' }),
      image('/two', { backing: '/base' }),
    ];
    expect(pathsOf(groupsOf(images))).toEqual([['/base'], ['/one'], ['/two']]);
    expect(sharedBasesOf([images[1] as ImageView], new Map(images.map((one) => [one.path, one])))).toEqual(['/base']);
  });

  it('joins what a machine joins, in any order', () => {
    const images = [
      image('/base', { backingOf: ['/top'], machine: 'web' }),
      image('/log', { machine: 'web' }),
      image('/top', { backing: '/base' }),
    ];
    expect(pathsOf(groupsOf(images.toReversed()))).toEqual([['/base', '/log', '/top']]);
  });
});
