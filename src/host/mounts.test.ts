import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { majorMinor, mountOf, parseMounts } from './mounts.ts';

const TEXT = [
  '27 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw',
  '30 27 0:40 / /srv rw - btrfs /dev/sdb rw',
  '31 27 8:3 / /srv/with\\040space\\011and\\134 rw master:1 propagate_from:2 - xfs /dev/sdc rw',
  '32 27 8:3 /deep /mnt/bind rw - xfs /dev/sdc rw',
  '33 27 8:4 / /mnt/b\xc3\xbc rw - fuse.sshfs host: rw',
  '34 27 8:5 / /mnt/b\xff rw - ext4 /dev/sdd rw',
  '',
].join('\n');

describe('parseMounts()', () => {
  const mounts = parseMounts(TEXT);
  it('reads id, device, type and mount point, with any optional fields', () => {
    expect(mounts[0]).toEqual({
      mountId: 27,
      root: '/',
      device: '8:2',
      mountPoint: '/',
      type: 'ext4',
      source: '/dev/sda2',
      options: ['rw', 'relatime'],
      superOptions: ['rw'],
    });
    expect(mounts).toHaveLength(6);
  });
  it('keeps the options of a mount apart from those of its superblock', () => {
    const [mount] = parseMounts('40 27 8:9 /images /srv/view ro,nosuid - xfs /dev/sdc rw,prjquota\n');
    expect(mount).toMatchObject({ root: '/images', options: ['ro', 'nosuid'], superOptions: ['rw', 'prjquota'] });
  });
  it('decodes octal escapes and UTF-8', () => {
    expect(mounts.map((mount) => mount.mountPoint).slice(2)).toEqual(['/srv/with space\tand\\', '/mnt/bind', '/mnt/bü', '/mnt/b\ufffd']);
  });
});

describe('mountOf()', () => {
  const mounts = parseMounts(TEXT);
  it('uses the mount id if it is known', () => {
    expect(mountOf(mounts, { mountId: 32, realPath: '/elsewhere', device: '8:3' })?.mountPoint).toBe('/mnt/bind');
  });
  it.each([
    ['/srv/image', '0:41', '/srv'],
    ['/srvx/image', '8:2', '/'],
    ['/mnt/bind/a', '8:3', '/mnt/bind'],
    ['/srv/with space\tand\\/a', '8:3', '/srv/with space\tand\\'],
  ])('else the longest mount point above %s on %s', (realPath, device, expected) => {
    expect(mountOf(mounts, { mountId: undefined, realPath, device })?.mountPoint).toBe(expected);
  });
  it('returns undefined for a device that is not mounted', () => {
    expect(
      mountOf(
        mounts.filter((mount) => mount.type !== 'btrfs'),
        { mountId: 99, realPath: '/a', device: '9:9' },
      ),
    ).toBeUndefined();
  });
});

describe('majorMinor()', () => {
  it('agrees with stat(1)', () => {
    const [major, minor] = execFileSync('stat', ['-c', '%Hd:%Ld', '/'], { encoding: 'utf8' }).trim().split(':');
    expect(majorMinor(statSync('/', { bigint: true }).dev)).toBe(`${major}:${minor}`);
  });
  it('splits numbers that do not fit 8 bits', () => {
    // makedev(0x12345, 0xabcde)
    expect(majorMinor(0x00012000abc345den)).toBe('74565:703710');
  });
});
