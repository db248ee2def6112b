/** Captured trees of /proc and /sys: what lies below a store, layer by layer. Real loop devices are in tests/e2e/underlying-storage.test.ts. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GiB, MiB } from '#base';
import type { UnderlyingStorage } from '#block';
import { parseMounts } from '../mounts.ts';
import type { BtrfsRoom } from './btrfs-metadata.ts';
import type { Dmsetup } from './device-mapper.ts';
import type { QuotaQuestions } from './disk-quota.ts';
import { describeUnderlyingStorage } from './underlying-storage.ts';
import type { BackingStorage } from './loop-layer.ts';
import { SystemTree } from './system-tree.ts';

const EXT4 = 0xef53;
const XFS = 0x58465342;
const BTRFS = 0x9123683e;
const LV = 'LVM-0123456789abcdefghijklmnopqrstuv0123456789abcdefghijklmnopqrstuv';
const NO_QUOTAS: QuotaQuestions = { enforced: () => undefined, limits: () => undefined };

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'plimsoll-underlying-'));
  put('/proc/meminfo', 'MemAvailable:    1048576 kB\nSwapFree:         524288 kB\n');
});
afterEach(() => rmSync(root, { recursive: true }));

function put(path: string, text: string): void {
  mkdirSync(dirname(root + path), { recursive: true });
  writeFileSync(root + path, text);
}

/** A block device of sysfs with the attributes `files`; below a disk where it is a partition. */
function device(number: string, name: string, files: Readonly<Record<string, string>> = {}, parent = ''): void {
  const place = `/sys/devices/${parent === '' ? '' : `${parent}/`}${name}`;
  put(`${place}/dev`, `${number}\n`);
  for (const [file, text] of Object.entries(files)) put(`${place}/${file}`, text);
  for (const link of [`/sys/dev/block/${number}`, ...(parent === '' ? [`/sys/block/${name}`] : []), `/sys/class/block/${name}`]) {
    mkdirSync(dirname(root + link), { recursive: true });
    symlinkSync(root + place, root + link);
  }
}

function slave(of: string, name: string): void {
  mkdirSync(`${root}/sys/devices/${of}/slaves`, { recursive: true });
  symlinkSync(`${root}/sys/devices/${name}`, `${root}/sys/devices/${of}/slaves/${name}`);
}

interface Asked {
  readonly magic?: number;
  readonly uuid?: string;
  readonly quotas?: QuotaQuestions;
  readonly dmsetup?: Dmsetup;
  readonly backing?: Partial<BackingStorage>;
  readonly domains?: readonly string[];
  readonly room?: BtrfsRoom;
}

function underlying(type: string, number: string, superOptions: string, asked: Asked = {}): Promise<UnderlyingStorage> {
  const [mount] = parseMounts(`40 27 ${number} / /srv/vm rw - ${type} /dev/disk ${superOptions}\n`);
  return describeUnderlyingStorage({
    mount,
    magic: asked.magic ?? EXT4,
    uuid: asked.uuid,
    quotas: asked.quotas ?? NO_QUOTAS,
    domains: asked.domains ?? [],
    room: asked.room ?? { size: 0, available: 0 },
    tree: new SystemTree(root),
    dmsetup: asked.dmsetup ?? (() => Promise.resolve(undefined)),
    examineBacking: () =>
      Promise.resolve(
        asked.backing === undefined
          ? undefined
          : { available: 0, file: undefined, copiesOnWrite: false, device: '9:9', type: 'ext4', caveats: [], ...asked.backing },
      ),
  });
}

const codes = ({ caveats }: UnderlyingStorage): string[] => caveats.map(({ code }) => code);
const covers = ({ caveats }: UnderlyingStorage): (string | null)[] => caveats.map(({ coveredBy }) => coveredBy);

describe('the type of a filesystem', () => {
  it.each(['ext2', 'ext3', 'ext4'])('%s on a disk is firm underlying', async (type) => {
    device('8:0', 'sda');
    expect(await underlying(type, '8:0', 'rw')).toEqual({ caveats: [], limits: [], domains: [], countedLayers: [] });
  });

  it.each([
    ['zfs', '0:50', ['FILESYSTEM_NOT_MODELLED', 'QUOTA_UNKNOWN', 'FILESYSTEM_SHARED']],
    ['f2fs', '8:0', ['FILESYSTEM_NOT_MODELLED', 'QUOTA_UNKNOWN']],
    ['bcachefs', '8:0', ['FILESYSTEM_NOT_MODELLED', 'QUOTA_UNKNOWN']],
    ['jfs', '8:0', ['FILESYSTEM_NOT_MODELLED', 'QUOTA_UNKNOWN']],
    ['fuse.bindfs', '0:51', ['FILESYSTEM_NOT_MODELLED', 'QUOTA_UNKNOWN', 'FILESYSTEM_SHARED']],
    ['ecryptfs', '0:52', ['FILESYSTEM_NOT_MODELLED', 'QUOTA_UNKNOWN', 'FILESYSTEM_SHARED']],
    ['overlay', '0:53', ['FILESYSTEM_UNION']],
    ['fuse.mergerfs', '0:54', ['FILESYSTEM_UNION']],
    ['nfs4', '0:55', ['FILESYSTEM_SHARED', 'STORAGE_BELOW_UNKNOWN', 'QUOTA_UNKNOWN']],
    ['cifs', '0:56', ['FILESYSTEM_SHARED', 'STORAGE_BELOW_UNKNOWN', 'QUOTA_UNKNOWN']],
    ['ceph', '0:57', ['FILESYSTEM_SHARED', 'STORAGE_BELOW_UNKNOWN', 'QUOTA_UNKNOWN']],
    ['fuse.glusterfs', '0:58', ['FILESYSTEM_SHARED', 'STORAGE_BELOW_UNKNOWN', 'QUOTA_UNKNOWN']],
    ['9p', '0:59', ['FILESYSTEM_SHARED', 'STORAGE_BELOW_UNKNOWN', 'QUOTA_UNKNOWN']],
    ['virtiofs', '0:60', ['FILESYSTEM_SHARED', 'STORAGE_BELOW_UNKNOWN', 'QUOTA_UNKNOWN']],
    ['gfs2', '8:0', ['FILESYSTEM_SHARED', 'STORAGE_BELOW_UNKNOWN', 'QUOTA_UNKNOWN']],
    ['ocfs2', '8:0', ['FILESYSTEM_SHARED', 'STORAGE_BELOW_UNKNOWN', 'QUOTA_UNKNOWN']],
  ])('%s is reported by name', async (type, number, expected) => {
    device('8:0', 'sda');
    const found = await underlying(type, number, 'rw', { magic: 0x1234 });
    expect(codes(found).sort()).toEqual([...expected].sort());
    expect(found.caveats.every(({ message }) => message.includes(type))).toBe(true);
  });

  it('a union is covered by no declaration', async () => {
    expect(covers(await underlying('fuse.mergerfs', '0:54', 'rw'))).toEqual([null]);
  });

  it('a magic number that contradicts the type counts as unknown', async () => {
    device('8:0', 'sda');
    expect(codes(await underlying('ext4', '8:0', 'rw', { magic: 0x65735546 }))).toContain('FILESYSTEM_NOT_MODELLED');
  });

  it('tmpfs counts the memory and swap that are left', async () => {
    const { limits } = await underlying('tmpfs', '0:40', 'rw', { magic: 0x01021994 });
    expect(limits).toMatchObject([{ code: 'MEMORY_LIMIT', domain: null, remaining: 1.5 * GiB }]);
  });
});

describe('quotas', () => {
  beforeEach(() => device('8:0', 'sda'));

  it.each([
    ['ext4', EXT4, 'rw,quota,usrquota,prjquota', ['user', 'project']],
    ['ext4', EXT4, 'rw,usrjquota=aquota.user,jqfmt=vfsv0', ['user']],
    ['xfs', XFS, 'rw,attr2,inode64,prjquota', ['project']],
    ['xfs', XFS, 'rw,usrquota,grpquota', ['user', 'group']],
  ] as const)('of %s (%i) mounted %s that cannot be read are a caveat', async (type, magic, options, types) => {
    const { caveats } = await underlying(type, '8:0', options, { magic });
    expect(caveats.map(({ code, coveredBy }) => [code, coveredBy])).toEqual(types.map(() => ['QUOTA_UNKNOWN', 'no-quota']));
    for (const [index, one] of types.entries()) expect(caveats[index]?.message).toContain(`${one} quotas`);
  });

  it('of XFS that are only counted, not enforced, limit nothing', async () => {
    expect(codes(await underlying('xfs', '8:0', 'rw,uqnoenforce,pqnoenforce', { magic: XFS }))).toEqual([]);
  });

  it('that the kernel enforces although the options do not show it count', async () => {
    const quotas: QuotaQuestions = { enforced: () => ['group'], limits: () => undefined };
    expect(codes(await underlying('ext4', '8:0', 'rw', { quotas }))).toEqual(['QUOTA_UNKNOWN']);
  });

  it('that can be read are limits of their owners', async () => {
    const quotas: QuotaQuestions = { enforced: () => ['user'], limits: () => [{ id: 1000, limit: 5 * GiB, used: 3 * GiB }] };
    const { caveats, limits } = await underlying('ext4', '8:0', 'rw,usrquota', { quotas });
    expect([caveats, limits]).toMatchObject([[], [{ code: 'QUOTA_LIMIT', domain: 'user 1000', remaining: 2 * GiB }]]);
  });

  it('of id 0 on XFS hold for every id without one of its own', async () => {
    const quotas: QuotaQuestions = { enforced: () => ['user'], limits: () => [{ id: 0, limit: GiB, used: 0 }] };
    expect(codes(await underlying('xfs', '8:0', 'rw,usrquota', { magic: XFS, quotas }))).toEqual(['QUOTA_UNKNOWN']);
  });

  const qgroup = (name: string, values: Readonly<Record<string, number>>): void => {
    for (const [file, value] of Object.entries(values)) put(`/sys/fs/btrfs/uuid/qgroups/${name}/${file}`, `${value}\n`);
  };
  const btrfs = (): Promise<UnderlyingStorage> => underlying('btrfs', '0:38', 'rw', { magic: BTRFS, uuid: 'uuid' });

  describe('of btrfs', () => {
    beforeEach(() => {
      mkdirSync(`${root}/sys/fs/btrfs/uuid/devices`, { recursive: true });
      symlinkSync(`${root}/sys/devices/sda`, `${root}/sys/fs/btrfs/uuid/devices/sda`);
      put('/sys/fs/btrfs/uuid/qgroups/enabled', '1\n');
      put('/sys/fs/btrfs/uuid/qgroups/inconsistent', '0\n');
    });

    it('limit the subvolume, what is reserved and metadata taken off', async () => {
      qgroup('0_257', { limit_flags: 1, max_referenced: GiB, referenced: 200 * MiB, rsv_data: 24 * MiB, max_exclusive: 0 });
      const { caveats, limits } = await btrfs();
      expect([caveats, limits]).toMatchObject([[], [{ domain: 'subvolume 257', remaining: 750 * MiB - 16 * MiB }]]);
    });

    it('limit it by the nearer of both limits', async () => {
      qgroup('0_257', { limit_flags: 3, max_referenced: GiB, referenced: 0, max_exclusive: 160 * MiB, exclusive: 0 });
      expect((await btrfs()).limits).toMatchObject([{ remaining: 134 * MiB }]);
    });

    it('without a limit add no caveat', async () => {
      qgroup('0_257', { limit_flags: 0, max_referenced: 0, referenced: GiB });
      expect(await btrfs()).toMatchObject({ caveats: [], limits: [] });
    });

    it('of a higher level are a caveat, since their members are not read', async () => {
      qgroup('1_100', { limit_flags: 1, max_referenced: GiB, referenced: 0 });
      expect(codes(await btrfs())).toEqual(['QUOTA_UNKNOWN']);
    });

    it('that are inconsistent are a caveat', async () => {
      qgroup('0_257', { limit_flags: 1, max_referenced: GiB, referenced: 0 });
      put('/sys/fs/btrfs/uuid/qgroups/inconsistent', '1\n');
      expect(codes(await btrfs())).toEqual(['QUOTA_UNKNOWN']);
    });

    it('are a caveat where sysfs does not show the filesystem', async () => {
      const found = await underlying('btrfs', '0:38', 'rw', { magic: BTRFS, uuid: 'another' });
      expect(covers(found)).toEqual(['backed', 'no-quota']);
    });

    it('walks down from each of its devices', async () => {
      device('43:0', 'nbd0');
      symlinkSync(`${root}/sys/devices/nbd0`, `${root}/sys/fs/btrfs/uuid/devices/nbd0`);
      expect(codes(await btrfs())).toEqual(['STORAGE_BELOW_UNKNOWN']);
    });
  });
});

describe('the layers below', () => {
  it.each(['vda', 'xvda', 'nvme0n1', 'mmcblk0', 'pmem0', 'dasda'])('a disk %s counts as backed, also below a partition', async (name) => {
    device('8:0', name);
    device('8:1', `${name}p1`, { partition: '1\n' }, name);
    expect(codes(await underlying('ext4', '8:1', 'rw'))).toEqual([]);
  });

  it.each(['zd0', 'nbd3', 'rbd0', 'drbd0', 'zram0', 'ublkb0', 'nullb0', 'unheard0'])('a device %s counts as unknown', async (name) => {
    device('240:0', name);
    const found = await underlying('ext4', '240:0', 'rw');
    expect([codes(found), covers(found)]).toEqual([['STORAGE_BELOW_UNKNOWN'], ['backed']]);
  });

  it('a SCSI disk that declares itself thin counts as unknown, an SSD behind SATA is not', async () => {
    const files = { 'device/scsi_disk/0:0:0:0/thin_provisioning': '1\n' };
    device('8:0', 'sda', { ...files, 'device/vendor': 'IBM     \n' });
    device('8:16', 'sdb', { ...files, 'device/vendor': 'ATA     \n' });
    expect(codes(await underlying('ext4', '8:0', 'rw'))).toEqual(['STORAGE_BELOW_UNKNOWN']);
    expect(codes(await underlying('ext4', '8:16', 'rw'))).toEqual([]);
  });

  it('NVMe over a network counts as unknown', async () => {
    device('259:0', 'nvme1n1', { 'device/transport': 'tcp\n' });
    device('259:1', 'nvme2n1', { 'device/transport': 'pcie\n' });
    expect(codes(await underlying('ext4', '259:0', 'rw'))).toEqual(['STORAGE_BELOW_UNKNOWN']);
    expect(codes(await underlying('ext4', '259:1', 'rw'))).toEqual([]);
  });

  it('a device that sysfs does not show counts as unknown', async () => {
    expect(codes(await underlying('ext4', '8:99', 'rw'))).toEqual(['STORAGE_BELOW_UNKNOWN']);
  });

  it('an md array passes on to its members, each of which is examined', async () => {
    device('9:0', 'md0', { 'md/level': 'raid1\n' });
    device('8:0', 'sda');
    device('43:0', 'nbd0');
    slave('md0', 'sda');
    expect(codes(await underlying('ext4', '9:0', 'rw'))).toEqual([]);
    slave('md0', 'nbd0');
    expect(codes(await underlying('ext4', '9:0', 'rw'))).toEqual(['STORAGE_BELOW_UNKNOWN']);
  });

  it('LUKS on a partition passes on', async () => {
    device('253:0', 'dm-0', { 'dm/uuid': 'CRYPT-LUKS2-0123-home\n', 'dm/name': 'home\n' });
    device('8:0', 'sda');
    slave('dm-0', 'sda');
    expect(codes(await underlying('ext4', '253:0', 'rw'))).toEqual([]);
  });

  it('a plain logical volume on physical volumes passes on, without root', async () => {
    device('253:1', 'dm-1', { 'dm/uuid': `${LV}\n`, 'dm/name': 'vg-lv\n' });
    device('8:0', 'sda');
    slave('dm-1', 'sda');
    expect(codes(await underlying('xfs', '253:1', 'rw', { magic: XFS }))).toEqual([]);
  });

  it.each([
    ['-tpool', 'thin volume'],
    ['-vpool', 'VDO'],
    ['-cow', 'snapshot'],
    ['', 'could not be read without root'],
  ])('a logical volume above one marked %j counts as unknown without root', async (suffix, words) => {
    device('253:2', 'dm-2', { 'dm/uuid': `${LV}\n`, 'dm/name': 'vg-lv\n' });
    device('253:3', 'dm-3', { 'dm/uuid': `${LV}${suffix}\n` });
    slave('dm-2', 'dm-3');
    const { caveats } = await underlying('ext4', '253:2', 'rw');
    expect(caveats).toMatchObject([{ code: 'STORAGE_BELOW_UNKNOWN', coveredBy: 'backed', message: expect.stringContaining(words) }]);
    expect(caveats[0]?.message).toContain('/dev/mapper/vg-lv');
  });

  it('a VDO volume counts as unknown by its UUID', async () => {
    device('253:4', 'dm-4', { 'dm/uuid': 'VDO-0123\n' });
    expect(codes(await underlying('ext4', '253:4', 'rw'))).toEqual(['STORAGE_BELOW_UNKNOWN']);
  });

  it('a device-mapper device of an unknown maker is told by its table, with root', async () => {
    device('253:5', 'dm-5', { 'dm/uuid': '\n' });
    device('8:0', 'sda');
    slave('dm-5', 'sda');
    expect(codes(await underlying('ext4', '253:5', 'rw'))).toEqual(['STORAGE_BELOW_UNKNOWN']);
    const linear = (): Promise<string> => Promise.resolve('0 2048 linear 8:0 0\n2048 2048 linear 8:0 4096\n');
    expect(codes(await underlying('ext4', '253:5', 'rw', { dmsetup: linear }))).toEqual([]);
    const mixed = (): Promise<string> => Promise.resolve('0 2048 linear 8:0 0\n2048 2048 zero\n');
    expect(codes(await underlying('ext4', '253:5', 'rw', { dmsetup: mixed }))).toEqual(['STORAGE_BELOW_UNKNOWN']);
  });

  describe('a thin volume, with root', () => {
    const answers = (pool: string, mapped: number): Dmsetup => {
      const table = '0 2097152 thin 253:8 1\n';
      return (words) => {
        const text = words.join(' ');
        if (text === 'table -j 253 -m 6') return Promise.resolve(table);
        if (text === 'table -j 253 -m 8') return Promise.resolve('0 4194304 thin-pool 253:9 253:10 128 0 0\n');
        if (text === 'status -j 253 -m 8')
          return Promise.resolve(`0 4194304 thin-pool 1 ${pool} - rw discard_passdown queue_if_no_space - 1024\n`);
        if (text === 'table --target thin') return Promise.resolve(`vg-thin: ${table}other: 0 100 thin 253:99 1\n`);
        if (text === 'status --target thin') return Promise.resolve(`vg-thin: 0 2097152 thin ${mapped} 2097151\nother: 0 100 thin 0 -\n`);
        return Promise.resolve(undefined);
      };
    };
    beforeEach(() => {
      device('253:6', 'dm-6', { 'dm/uuid': `${LV}\n`, 'dm/name': 'vg-thin\n' });
      device('253:8', 'dm-8', { 'dm/uuid': `${LV}-tpool\n` });
      device('8:0', 'sda');
      slave('dm-6', 'dm-8');
      slave('dm-8', 'sda');
    });

    it('whose pool has room for all of its volumes is counted', async () => {
      const found = await underlying('ext4', '253:6', 'rw', { dmsetup: answers('100/4096 1000/32768', 128_000) });
      expect([found.caveats, found.countedLayers.length]).toEqual([[], 1]);
    });
    it.each([
      ['less than is missing', '100/4096 32000/32768', 128_000],
      ['no metadata left', '4090/4096 1000/32768', 128_000],
      ['snapshots that share blocks', '100/4096 500/32768', 128_000],
    ])('whose pool has %s counts as unknown', async (_, pool, mapped) => {
      const found = await underlying('ext4', '253:6', 'rw', { dmsetup: answers(pool, mapped) });
      expect([codes(found), covers(found)]).toEqual([['STORAGE_BELOW_SHORT'], ['backed']]);
    });
  });
});

describe('a loop device', () => {
  const loop = (number: string, name: string, files: Readonly<Record<string, string>> = {}): void =>
    device(number, name, { 'loop/backing_file': '/srv/disk.img\n', size: `${(10 * GiB) / 512}\n`, ro: '0\n', ...files });
  const whole = { length: 10 * GiB, allocation: 11 * GiB, stored: () => Promise.resolve(10 * GiB) };
  const sparse = { length: 10 * GiB, allocation: GiB, stored: () => Promise.resolve(GiB) };

  beforeEach(() => loop('7:0', 'loop0'));

  it('on a file that is stored whole has no caveats', async () => {
    expect(await underlying('xfs', '7:0', 'rw', { magic: XFS, backing: { file: whole, available: GiB } })).toMatchObject({
      caveats: [],
      limits: [],
    });
  });

  it('on a sparse file with room for its holes below is counted, and says so', async () => {
    const found = await underlying('ext4', '7:0', 'rw', { backing: { file: sparse, available: 20 * GiB } });
    expect([found.caveats, found.limits, found.countedLayers.length]).toEqual([[], [], 1]);
  });

  it('on a sparse file without it is a caveat and a limit: available below, and what is stored', async () => {
    const found = await underlying('ext4', '7:0', 'rw', { backing: { file: sparse, available: 2 * GiB } });
    expect(codes(found)).toEqual(['STORAGE_BELOW_SHORT']);
    expect(found.limits).toMatchObject([{ domain: null, remaining: 3 * GiB }]);
  });

  it('shares what is available below with every other loop device on that filesystem', async () => {
    loop('7:1', 'loop1');
    expect(codes(await underlying('ext4', '7:0', 'rw', { backing: { file: sparse, available: 12 * GiB } }))).toEqual([
      'STORAGE_BELOW_SHORT',
    ]);
  });

  it('on a file without a name counts as not stored at all', async () => {
    const backing = { file: undefined, available: 9 * GiB };
    expect(codes(await underlying('ext4', '7:0', 'rw', { backing }))).toEqual(['STORAGE_BELOW_SHORT']);
    expect(codes(await underlying('ext4', '7:0', 'rw', { backing: { ...backing, available: 11 * GiB } }))).toEqual([]);
  });

  it('on a file that is copied on write counts as unknown, however much is stored', async () => {
    const backing = { file: whole, available: 20 * GiB, copiesOnWrite: true };
    expect(codes(await underlying('ext4', '7:0', 'rw', { backing }))).toEqual(['STORAGE_BELOW_UNKNOWN']);
  });

  it('whose file is longer by now than what was measured of it counts by the device', async () => {
    const short = { length: 5 * GiB, allocation: 5 * GiB, stored: () => Promise.resolve(5 * GiB) };
    expect(codes(await underlying('ext4', '7:0', 'rw', { backing: { file: short, available: GiB } }))).toEqual(['STORAGE_BELOW_SHORT']);
  });

  it('takes over the caveats of the filesystem below: a loop device on NFS, or on another loop device', async () => {
    const caveats: UnderlyingStorage['caveats'] = [
      { level: 'warning', code: 'FILESYSTEM_SHARED', message: 'Shared.', coveredBy: 'exclusive' },
    ];
    const found = await underlying('ext4', '7:0', 'rw', { backing: { file: whole, available: 20 * GiB, caveats } });
    expect(found.caveats).toMatchObject([
      { code: 'FILESYSTEM_SHARED', coveredBy: 'exclusive', message: expect.stringContaining('/srv/disk.img') },
    ]);
  });

  it('whose file leads nowhere here counts as unknown', async () => {
    expect(codes(await underlying('ext4', '7:0', 'rw'))).toEqual(['STORAGE_BELOW_UNKNOWN']);
  });

  it('on a block device passes on to it', async () => {
    loop('7:2', 'loop2', { 'loop/backing_file': '/dev/sdz\n' });
    device('65:144', 'sdz');
    expect(codes(await underlying('ext4', '7:2', 'rw'))).toEqual([]);
  });

  it('that is read-only takes no writes', async () => {
    loop('7:3', 'loop3', { ro: '1\n' });
    expect(codes(await underlying('ext4', '7:3', 'rw'))).toEqual([]);
  });
});

describe('a read-only superblock', () => {
  it('takes no writes, whatever lies below', async () => {
    device('43:0', 'nbd0');
    expect(codes(await underlying('ext4', '43:0', 'ro'))).toEqual([]);
  });
});
