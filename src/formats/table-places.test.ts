import { describe, expect, it } from 'vitest';
import { aQcow2 } from '../../tests/support/qcow2-builder.ts';
import { aVdi } from '../../tests/support/vdi-builder.ts';
import { aVhd } from '../../tests/support/vhd-builder.ts';
import { aVhdx } from '../../tests/support/vhdx-builder.ts';
import { aVmdk } from '../../tests/support/vmdk-builder.ts';
import { tablePlaces } from './table-places.ts';

const MiB = 2 ** 20;

describe('tablePlaces()', () => {
  it.each([
    ['the L2 tables and refcount blocks of a qcow2', aQcow2().withL2(0, [0]).bytes(), [196_608, 131_072, 262_144]],
    ['the directories of a VMDK', aVmdk().bytes(), [aVmdk().directory, aVmdk().redundant]],
    ['the table of a VHD, and the bitmap of each block', aVhd().withBlock(0, 1).bytes(), [1536, 2048]],
    ['the block map of a VDI', aVdi().bytes(), [512]],
    ['the log and regions of a VHDX', aVhdx().bytes(), [MiB, 2 * MiB, 3 * MiB]],
  ])('tells %s', (_, bytes, starts) => {
    expect([...tablePlaces(bytes)].map(({ start }) => start)).toEqual(expect.arrayContaining(starts));
  });

  it.each([
    ['a raw disk', new Uint8Array(4096)],
    ['no bytes', new Uint8Array(0)],
    ['the fixed disk of a VHD', aVhd({ diskType: 'fixed' }).bytes()],
    ['a header that is cut', aQcow2().bytes().slice(0, 40)],
    [
      'sizes past all bounds',
      aVdi()
        .withHeader('diskSize', (1n << 64n) - 1n)
        .bytes(),
    ],
  ])('tells nothing of %s', (_, bytes) => {
    expect([...tablePlaces(bytes)]).toEqual([]);
  });

  it('stays within the bytes that it has, whatever they say', () => {
    const bytes = aQcow2().withField('l1Size', 0xffffffff).withField('refcountTableClusters', 0xffffffff).bytes();
    expect([...tablePlaces(bytes)].length).toBeLessThan(bytes.byteLength);
    expect([...tablePlaces(aVmdk().withField('grainSize', 0).bytes())].length).toBeGreaterThan(0);
  });
});
