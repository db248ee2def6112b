import { describe, expect, it } from 'vitest';
import { GiB, MiB } from '#base';
import type { FilesystemKind, StorageRules } from '#block';
import { commitmentOfNew } from './measure-new.ts';
import { parseCreateOptions } from './create-options.ts';

const raw = parseCreateOptions('raw', []);
const rules = (filesystem: FilesystemKind): StorageRules => ({ filesystem, fsBlockSize: 4096 });
const on = (kind: FilesystemKind, isOwn: boolean): number => commitmentOfNew('raw', GiB, raw, { rules: rules(kind), isOwn });

describe('commitmentOfNew', () => {
  it("counts the filesystem's own charges, if they are known", () => {
    expect([commitmentOfNew('raw', GiB, raw), on('other', false), on('btrfs', true)]).toEqual([GiB, GiB, GiB]);
    for (const type of ['ext4', 'xfs'] as const) {
      expect(on(type, true)).toBeGreaterThan(GiB + 1.5 * MiB);
      expect(on(type, true)).toBeLessThan(GiB * 1.02);
    }
  });

  it('counts storage in steps of 1 MiB, as for an image of qemu-img on XFS', () => {
    expect(on('xfs', false)).toBeGreaterThanOrEqual(on('xfs', true));
    expect(commitmentOfNew('qcow2', GiB, parseCreateOptions('qcow2', []), { rules: rules('xfs'), isOwn: false })).toBeGreaterThan(
      commitmentOfNew('qcow2', GiB, parseCreateOptions('qcow2', []), { rules: rules('xfs'), isOwn: true }),
    );
    expect(on('ext4', false)).toBe(on('ext4', true));
  });
});
