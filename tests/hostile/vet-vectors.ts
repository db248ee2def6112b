/**
 * The threat table's rows as files, each named `<verdict>--<what>`: judged as a file and as a stream, the verdict and its
 * reason are as named. Rows are those of the threat model: 1-3 other files, 10-18 two readings, 19-26 more work than bytes.
 */
import { gzipSync } from 'node:zlib';
import { aQcow2, COMPRESSED, COPIED } from '../support/qcow2-builder.ts';
import { aVhd } from '../support/vhd-builder.ts';
import type { VetPolicy } from '#sandbox';

export interface VetVector {
  readonly name: string;
  readonly row: number;
  readonly bytes: () => Uint8Array;
  readonly declared?: string;
  readonly policy?: Partial<VetPolicy>;
  /** Code of the reason that must be there; none for `safe--`, or a note. */
  readonly code?: string;
  readonly at?: number;
}

const MiB = 2 ** 20;
const SECTOR = 512;

/** A disk of 1 MiB with `pieces` in it, Latin-1. */
function disk(...pieces: readonly (readonly [at: number, text: string])[]): Buffer {
  const bytes = Buffer.alloc(MiB);
  for (const [at, text] of pieces) bytes.write(text, at, 'latin1');
  return bytes;
}

const QCOW2 = (): Buffer => Buffer.from(aQcow2().bytes());
const PARTITION = [446, '\x80\0\0\0\x83\0\0\0\x01\0\0\0\0\x08\0\0'] as const;
const BOOT_MARK = [510, '\x55\xaa'] as const;
const GPT = [SECTOR, 'EFI PART'] as const;
const DISC = [32_769, 'CD001'] as const;
/** Of a little ext4: inodes, blocks, and sizes that make sense. */
const EXT = [
  [1024, '\x10\0\0\0\x40\0\0\0'],
  [1024 + 32, '\0\x20\0\0'],
  [1024 + 40, '\x10\0\0\0'],
  [1080, '\x53\xef'],
] as const;

/** `disk` with the header of a qcow2 written over its beginning, as a guest can do to its own raw disk. */
function underQcow2(bytes: Buffer): Buffer {
  const header = QCOW2();
  header.copy(bytes, 0, 0, 512);
  return bytes;
}

/** The qcow2 whole, and something else at places that it leaves empty. */
function qcow2With(...pieces: readonly (readonly [number, string])[]): Buffer {
  const bytes = QCOW2();
  for (const [at, text] of pieces) bytes.write(text, at, 'latin1');
  return bytes;
}

/** Signs at places of a file of 1 MiB that a small qcow2 leaves empty: in its header's cluster, or in a free one. */
const FREE_PLACES = {
  jfs: [32_768, 'JFS1'],
  mdraid: [4096, '\xfc\x4e\x2b\xa9\x01\0\0\0'],
  hfsplus: [1024, 'H+\0\x04'],
  zfs: [928 * 1024, '\x0c\xb1\xba\0\0\0\0\0'],
} as const;

/** The first member's header, as far as anybody looks at it. `type`: '0' a file, '2' a link. */
function anOva(memberName: string, type: string): Buffer {
  return disk([0, memberName], [124, '00000000000'], [156, type], [257, 'ustar\x0000']);
}

export const VET_VECTORS: readonly VetVector[] = [
  { name: 'safe--qcow2', row: 0, bytes: QCOW2 },
  { name: 'safe--qcow2-declared', row: 0, bytes: QCOW2, declared: 'qcow2' },
  { name: 'unrecognised--raw-zeros', row: 0, bytes: () => disk(), declared: 'raw' },
  { name: 'refused--empty', row: 0, bytes: () => Buffer.alloc(0), code: 'EMPTY' },

  ...Object.entries({ absolute: '/etc/shadow', upwards: '../../../etc/shadow', beside: 'base.img' }).map(
    ([what, backing]): VetVector => ({
      name: `refused--backing-file-${what}`,
      row: 1,
      bytes: () => Buffer.from(aQcow2().withBackingFile(backing).bytes()),
      code: 'HAS_BACKING_FILE',
      at: 8,
    }),
  ),
  ...['nbd://198.51.100.7/x', 'file:/etc/shadow', 'json:{"driver":"nbd"}', 'fat:rw:/tmp'].map(
    (backing, index): VetVector => ({
      name: `refused--backing-scheme-${index}`,
      row: 1,
      bytes: () => Buffer.from(aQcow2().withBackingFile(backing).bytes()),
      policy: { chains: true },
      code: 'BACKING_SCHEME',
      at: 8,
    }),
  ),
  {
    name: 'refused--data-file-bit',
    row: 2,
    bytes: () => Buffer.from(aQcow2().withDataFile('json:{"driver":"quorum"}').withField('incompatibleFeatures', 4).bytes()),
    code: 'HAS_DATA_FILE',
    at: 72,
  },
  {
    name: 'refused--data-file-extension-without-the-bit',
    row: 2,
    bytes: () => Buffer.from(aQcow2().withDataFile('/etc/shadow').withField('incompatibleFeatures', 0).bytes()),
    code: 'DATA_FILE_WITHOUT_BIT',
  },
  { name: 'refused--declared-raw-is-qcow2', row: 3, bytes: QCOW2, declared: 'raw', code: 'FORMAT_MISMATCH', at: 0 },
  {
    name: 'unrecognised--qcow2-on-a-raw-disk-of-a-guest',
    row: 3,
    bytes: QCOW2,
    declared: 'raw',
    policy: { guestWritten: true },
    code: 'GUEST_SIGN',
    at: 0,
  },
  {
    name: 'safe--footer-on-a-raw-disk-of-a-guest',
    row: 3,
    bytes: () => disk(PARTITION, BOOT_MARK, [MiB - SECTOR, 'conectix']),
    declared: 'raw',
    policy: { guestWritten: true },
    code: 'GUEST_SIGN',
    at: MiB - SECTOR,
  },
  {
    name: 'safe--qcow2-of-a-guest-not-declared',
    row: 3,
    bytes: QCOW2,
    policy: { guestWritten: true },
  },
  {
    name: 'refused--raw-disk-of-a-guest-declared-qcow2',
    row: 3,
    bytes: () => disk(PARTITION, BOOT_MARK),
    declared: 'qcow2',
    policy: { guestWritten: true },
    code: 'FORMAT_MISMATCH',
  },
  { name: 'refused--declared-qcow2-is-raw', row: 3, bytes: () => disk(), declared: 'qcow2', code: 'FORMAT_MISMATCH' },
  {
    name: 'refused--declared-qcow2-is-vdi',
    row: 3,
    bytes: () => disk([64, '\x7f\x10\xda\xbe']),
    declared: 'qcow2',
    code: 'FORMAT_MISMATCH',
    at: 64,
  },
  {
    name: 'refused--backed-by-itself',
    row: 9,
    bytes: () => Buffer.from(aQcow2().withBackingFile('image').bytes()),
    code: 'HAS_BACKING_FILE',
  },

  { name: 'ambiguous--disc-under-a-qcow2', row: 12, bytes: () => underQcow2(qcow2With(DISC)), code: 'POLYGLOT', at: 32_769 },
  { name: 'ambiguous--ext4-under-a-qcow2', row: 13, bytes: () => qcow2With(...EXT), code: 'POLYGLOT', at: 1080 },
  { name: 'ambiguous--mbr-under-a-qcow2', row: 13, bytes: () => qcow2With(PARTITION, BOOT_MARK), code: 'POLYGLOT', at: 510 },
  {
    name: 'refused--btrfs-in-the-refcount-table-of-a-qcow2',
    row: 11,
    bytes: () => qcow2With([65_600, '_BHRfS_M']),
    code: 'POLYGLOT',
    at: 65_600,
  },
  {
    name: 'ambiguous--vhd-footer-behind-a-qcow2',
    row: 11,
    bytes: () => Buffer.concat([QCOW2(), disk([0, 'conectix']).subarray(0, SECTOR)]),
    code: 'POLYGLOT',
  },
  {
    name: 'refused--vhd-footer-behind-a-raw-disk',
    row: 11,
    bytes: () => disk(PARTITION, BOOT_MARK, [MiB - SECTOR, 'conectix']),
    code: 'FOOTER_ONLY',
  },
  {
    name: 'convert--vhd-by-a-footer-of-511-bytes',
    row: 11,
    bytes: () =>
      aVhd({ diskType: 'fixed', capacity: 8192 })
        .cutAt(8192 + 511)
        .bytes(),
    declared: 'vhd',
    code: 'FOOTER_ONLY',
    at: 8192,
  },
  {
    name: 'ambiguous--footer-of-511-bytes-behind-a-raw-disk',
    row: 11,
    bytes: () =>
      aVhd({ diskType: 'fixed', capacity: 8192 })
        .cutAt(8192 + 511)
        .bytes(),
    code: 'FOOTER_ONLY',
    at: 8192,
  },
  {
    name: 'safe--installation-disc-with-mbr-and-gpt',
    row: 14,
    bytes: () => disk(PARTITION, BOOT_MARK, GPT, DISC),
    declared: 'iso',
    code: 'HYBRID_DISC',
  },
  { name: 'safe--gpt-with-its-mbr', row: 15, bytes: () => disk(PARTITION, BOOT_MARK, GPT, [MiB - SECTOR, 'EFI PART']) },
  { name: 'safe--gpt-backup-only', row: 15, bytes: () => disk([MiB - SECTOR, 'EFI PART']), code: 'GPT_BACKUP_ONLY' },
  { name: 'safe--whole-disk-fat', row: 16, bytes: () => disk([0, '\xeb\x3c\x90mkfs.fat'], [11, '\0\x02'], [54, 'FAT16   '], BOOT_MARK) },
  { name: 'safe--whole-disk-ntfs', row: 16, bytes: () => disk([0, '\xeb\x52\x90NTFS    '], [11, '\0\x02'], BOOT_MARK) },
  { name: 'refused--qed', row: 10, bytes: () => disk([0, 'QED\0']), code: 'FORMAT_NOT_READ', at: 0 },
  { name: 'refused--qcow-version-1', row: 10, bytes: () => disk([0, 'QFI\xfb\0\0\0\x01']), code: 'FORMAT_NOT_READ' },
  { name: 'refused--luks', row: 17, bytes: () => disk([0, 'LUKS\xba\xbe\0\x01']), code: 'FORMAT_NOT_READ' },
  { name: 'refused--parallels', row: 10, bytes: () => disk([0, 'WithoutFreeSpace']), code: 'FORMAT_NOT_READ' },
  { name: 'refused--dmg-by-its-trailer', row: 18, bytes: () => disk([MiB - SECTOR, 'koly']), code: 'FORMAT_NOT_READ' },
  { name: 'refused--qcow2-shorter-than-its-header', row: 11, bytes: () => QCOW2().subarray(0, 60) },

  ...Object.entries({ refcounts: 1, 'refcount-block': 2, l1: 3 }).map(
    ([what, cluster]): VetVector => ({
      name: `refused--shared-data-in-the-${what}`,
      row: 21,
      // Without COPIED: the guest would read the table, and free it by writing.
      bytes: () =>
        Buffer.from(
          aQcow2()
            .withL2(0, [BigInt(cluster * 65_536)])
            .bytes(),
        ),
      code: 'DATA_OVER_TABLE',
    }),
  ),
  {
    name: 'refused--compressed-data-in-the-header',
    row: 21,
    bytes: () =>
      Buffer.from(
        aQcow2()
          .withL2(0, [COMPRESSED + 512n])
          .bytes(),
      ),
    code: 'DATA_OVER_TABLE',
  },
  ...[COPIED, 0n].map(
    (flag, index): VetVector => ({
      name: `refused--two-places-in-one-cluster-${index}`,
      row: 21,
      bytes: () => {
        const image = aQcow2().withL2(0, [flag + 6n * 65_536n, flag + 6n * 65_536n]);
        return Buffer.from(
          image
            .withLength(8 * 65_536)
            .withRefcount(6, 1)
            .bytes(),
        );
      },
      code: 'CLUSTER_USED_TWICE',
    }),
  ),
  {
    name: 'refused--zero-flag-in-version-2',
    row: 13,
    bytes: () => Buffer.from(aQcow2({ version: 2 }).withL2(0, [1n]).bytes()),
    code: 'ENTRY_INVALID',
  },
  {
    name: 'refused--reserved-bits',
    row: 13,
    bytes: () =>
      Buffer.from(
        aQcow2()
          .withL2(0, [1n << 60n])
          .bytes(),
      ),
    code: 'ENTRY_INVALID',
  },
  {
    name: 'refused--subclusters-allocated-without-a-cluster',
    row: 13,
    bytes: () => Buffer.from(aQcow2({ extendedL2: true }).withL2(0, [0n, 0xffn]).bytes()),
    code: 'ENTRY_INVALID',
  },
  {
    name: 'refused--backing-format-that-connects',
    row: 1,
    bytes: () => Buffer.from(aQcow2().withBackingFile('base.img', 'nbd').bytes()),
    policy: { chains: true },
    code: 'BACKING_FORMAT',
  },
  {
    name: 'safe--backing-file-that-the-policy-allows',
    row: 1,
    bytes: () => Buffer.from(aQcow2().withBackingFile('base.img', 'raw').bytes()),
    policy: { chains: true },
    code: 'HAS_BACKING_FILE',
    at: 8,
  },
  { name: 'refused--iso-without-a-disc', row: 14, bytes: () => disk(), declared: 'iso', code: 'FORMAT_MISMATCH' },
  { name: 'refused--unknown-format', row: 3, bytes: () => disk(), declared: 'constructor', code: 'FORMAT_NOT_READ' },
  {
    name: 'refused--later-qcow2-in-an-archive',
    row: 11,
    bytes: () => disk([0, 'QFI\xfb\0\0\0\x05'], [257, 'ustar']),
    declared: 'raw',
    code: 'FORMAT_MISMATCH',
  },
  {
    name: 'refused--l1-of-4-million-entries-in-a-small-file',
    row: 19,
    bytes: () =>
      Buffer.from(
        aQcow2()
          .withField('l1Size', 4 * MiB)
          .bytes(),
      ),
    code: 'QCOW2_L1_OFFSET',
    at: 40,
  },
  {
    name: 'refused--65535-snapshots',
    row: 20,
    bytes: () =>
      Buffer.from(
        aQcow2()
          .withField('nbSnapshots', 65_535)
          .withField('snapshotsOffset', 65_536)
          .withLength(4 * MiB)
          .bytes(),
      ),
    code: 'TOO_MANY_SNAPSHOTS',
    at: 60,
  },
  {
    name: 'refused--l1-entries-share-one-l2-table',
    row: 21,
    bytes: () => {
      const image = aQcow2({ capacity: 2 ** 30 });
      const table = 5 * image.clusterSize;
      return Buffer.from(
        image
          .withL1(0, COPIED + BigInt(table))
          .withL1(1, COPIED + BigInt(table))
          .withLength(8 * image.clusterSize)
          .bytes(),
      );
    },
    code: 'CLUSTER_USED_TWICE',
  },
  {
    name: 'refused--size-all-ones',
    row: 23,
    bytes: () =>
      Buffer.from(
        aQcow2()
          .withField('size', (1n << 64n) - 1n)
          .bytes(),
      ),
    code: 'NUMBER_TOO_LARGE',
    at: 24,
  },
  { name: 'safe--size-0', row: 23, bytes: () => Buffer.from(aQcow2().withField('size', 0).bytes()), code: 'NO_CAPACITY' },
  {
    name: 'refused--capacity-above-policy',
    row: 23,
    bytes: () => Buffer.from(aQcow2({ capacity: 2 ** 40 }).bytes()),
    policy: { maxCapacity: 2 ** 39 },
    code: 'CAPACITY_TOO_LARGE',
  },
  {
    name: 'refused--ratio-above-policy',
    row: 25,
    bytes: () => Buffer.from(aQcow2({ capacity: 2 ** 40 }).bytes()),
    policy: { maxRatio: 1000 },
    code: 'RATIO_TOO_LARGE',
  },
  { name: 'refused--longer-than-policy', row: 25, bytes: () => disk(), policy: { maxLength: 65_536 }, code: 'TOO_LONG' },
  { name: 'refused--gzip', row: 26, bytes: () => gzipSync(QCOW2()), code: 'WRAPPED', at: 0 },
  { name: 'refused--gzip-in-gzip', row: 17, bytes: () => gzipSync(gzipSync(QCOW2())), code: 'WRAPPED', at: 0 },
  ...Object.entries({ xz: '\xfd7zXZ\0', zstd: '\x28\xb5\x2f\xfd', bzip2: 'BZh9', zip: 'PK\x03\x04' }).map(
    ([what, magic]): VetVector => ({ name: `refused--${what}`, row: 26, bytes: () => disk([0, magic]), code: 'WRAPPED', at: 0 }),
  ),
  {
    name: 'refused--gzip-declared-raw-is-a-qcow2-too',
    row: 26,
    bytes: () => gzipSync(QCOW2()),
    declared: 'qcow2',
    code: 'FORMAT_MISMATCH',
  },

  // They are not unpacked: the names and links of their members are for the program that does.
  { name: 'refused--ova', row: 8, bytes: () => anOva('machine.ovf', '0'), code: 'WRAPPED', at: 257 },
  { name: 'refused--ova-declared-tar', row: 8, bytes: () => anOva('machine.ovf', '0'), declared: 'tar', code: 'WRAPPED', at: 257 },
  { name: 'refused--ova-declared-vmdk', row: 8, bytes: () => anOva('machine.ovf', '0'), declared: 'vmdk', code: 'FORMAT_MISMATCH' },
  { name: 'refused--ova-whose-description-lies-above-it', row: 8, bytes: () => anOva('../../machine.OVF', '0'), code: 'WRAPPED', at: 257 },
  { name: 'refused--ova-whose-description-is-a-link', row: 8, bytes: () => anOva('machine.ovf', '2'), code: 'WRAPPED', at: 257 },

  {
    name: 'refused--vmdk-descriptor-that-names-a-host-file',
    row: 4,
    bytes: () =>
      Buffer.from(
        '# Disk DescriptorFile\nversion=1\nCID=f0a4b3c2\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 8 FLAT "/etc/shadow" 0\n',
      ),
    code: 'NAMES_OTHER_FILE',
  },
  {
    name: 'safe--qcow2-in-the-data-of-a-qcow2',
    row: 17,
    // The guest's data is arbitrary: here its disk begins with an image.
    bytes: () => {
      const image = aQcow2();
      const at = image.allocate();
      return Buffer.from(
        image
          .withBytes(at, QCOW2().subarray(0, 512))
          .withL2(0, [COPIED + BigInt(at)])
          .bytes(),
      );
    },
  },
  {
    name: 'refused--all-places-share-one-compressed-cluster',
    row: 22,
    bytes: () => {
      const image = aQcow2();
      const entry = COMPRESSED + BigInt(image.allocate());
      return Buffer.from(
        image
          .withL2(
            0,
            Array.from({ length: 8192 }, () => entry),
          )
          .bytes(),
      );
    },
    code: 'REFCOUNT_TOO_LOW',
  },
  ...Object.entries(FREE_PLACES).map(([name, [at, text]]): VetVector => {
    const bytes = (): Buffer => Buffer.from(aQcow2().withBytes(at, Buffer.from(text, 'latin1')).withLength(MiB).bytes());
    // A guest's old bytes stay in a free cluster; the header's cluster is not the guest's.
    if (at >= aQcow2().clusterSize) return { name: `safe--${name}-in-a-free-cluster-of-a-qcow2`, row: 11, bytes };
    return { name: `ambiguous--${name}-beside-a-qcow2`, row: 11, bytes, code: 'POLYGLOT', at };
  }),
  ...Object.entries(FREE_PLACES).map(
    ([name, piece]): VetVector => ({ name: `safe--raw-disk-that-is-${name}`, row: 13, bytes: () => disk(piece), declared: 'raw' }),
  ),
  {
    name: 'safe--zfs-in-the-data-of-a-qcow2',
    row: 13,
    bytes: () => {
      const image = aQcow2();
      const [at, text] = FREE_PLACES.zfs;
      const data = at - (at % image.clusterSize);
      return Buffer.from(
        image
          .withL2(0, [COPIED + BigInt(data)])
          .withRefcount(data / image.clusterSize, 1)
          .withBytes(at, Buffer.from(text, 'latin1'))
          .withLength(MiB)
          .bytes(),
      );
    },
  },

  {
    name: 'refused--luks-inside-qcow2',
    row: 17,
    bytes: () => Buffer.from(aQcow2().withField('cryptMethod', 1).bytes()),
    code: 'ENCRYPTED',
    at: 32,
  },
  {
    name: 'refused--marked-corrupt',
    row: 59,
    bytes: () => Buffer.from(aQcow2().withField('incompatibleFeatures', 2).bytes()),
    code: 'MARKED_CORRUPT',
    at: 72,
  },
  {
    name: 'safe--marked-dirty',
    row: 59,
    bytes: () => Buffer.from(aQcow2().withField('incompatibleFeatures', 1).bytes()),
    code: 'MARKED_DIRTY',
    at: 72,
  },
  {
    name: 'refused--unknown-feature',
    row: 2,
    bytes: () =>
      Buffer.from(
        aQcow2()
          .withField('incompatibleFeatures', 1 << 20)
          .bytes(),
      ),
    code: 'QCOW2_FEATURES',
    at: 72,
  },
  { name: 'refused--format-not-in-the-policy', row: 3, bytes: QCOW2, policy: { formats: ['raw'] }, code: 'FORMAT_NOT_ALLOWED' },
];
