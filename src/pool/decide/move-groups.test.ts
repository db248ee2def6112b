import { describe, expect, it } from 'vitest';
import { type ChainedImage, groupImages } from './move-groups.ts';

function image(path: string, machine: string | null = null, ...backing: string[]): ChainedImage {
  return { path, machine, backing };
}

describe('groupImages()', () => {
  it('takes the disks of a machine together, and others by themselves', () => {
    expect(groupImages([image('b', 'web'), image('a', 'web'), image('c'), image('d', 'mail')])).toEqual([
      { machine: 'web', own: ['a', 'b'], shared: [] },
      { machine: null, own: ['c'], shared: [] },
      { machine: 'mail', own: ['d'], shared: [] },
    ]);
  });

  it('takes a chain whole', () => {
    const chain = [image('top', null, 'middle'), image('middle', null, 'base'), image('base')];
    expect(groupImages(chain)).toEqual([{ machine: null, own: ['base', 'middle', 'top'], shared: [] }]);
  });

  it('leaves a backing file that others use', () => {
    const clones = [image('a', 'one', 'base'), image('b', null, 'base'), image('base', 'one')];
    expect(groupImages(clones)).toEqual([
      { machine: 'one', own: ['a'], shared: ['base'] },
      { machine: null, own: ['b'], shared: ['base'] },
    ]);
  });

  it('takes a backing file along that only disks of one machine use', () => {
    const disks = [image('a', 'one', 'base'), image('b', 'one', 'base'), image('base')];
    expect(groupImages(disks)).toEqual([{ machine: 'one', own: ['a', 'b', 'base'], shared: [] }]);
  });

  it('sees a machine that runs on what another image is made on', () => {
    expect(groupImages([image('overlay', null, 'disk'), image('disk', 'web')])).toEqual([
      { machine: null, own: ['overlay'], shared: ['disk'] },
    ]);
  });

  it('passes over backing files that are not there, and chains without an end', () => {
    expect(groupImages([image('a', null, 'elsewhere'), image('x', null, 'y'), image('y', null, 'x'), image('z', null, 'y')])).toEqual([
      { machine: null, own: ['a'], shared: [] },
      { machine: null, own: ['x', 'y', 'z'], shared: [] },
    ]);
  });
});
