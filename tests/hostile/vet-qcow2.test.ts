/**
 * qcow2 images that no verdict may attach: one cluster for two structures, refcounts and COPIED that contradict each other,
 * memory that QEMU would allocate. `qemu-img check` is the judge where it has an opinion.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, deflateRawSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { DEFAULT_POLICY, vetFile } from '#sandbox';
import type { VetReport } from '#wire';
import { judgeBytes } from './attach/hold.ts';
import { aQcow2, bigEndian, COMPRESSED, COPIED } from '../support/qcow2-builder.ts';

const directory = mkdtempSync('/dev/shm/plimsoll-qcow2-');
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const CLUSTER = 65_536;

function codes({ reasons }: Pick<VetReport, 'reasons'>): string[] {
  return reasons.map(({ code }) => code);
}

/** The exit code of `qemu-img check`: 0 clean, 2 errors, 3 leaks, 1 when it cannot open the image. */
function checkCode(bytes: Uint8Array): number | null {
  const path = join(directory, 'checked.qcow2');
  writeFileSync(path, bytes);
  return spawnSync('qemu-img', ['check', '-f', 'qcow2', path], { stdio: 'ignore' }).status;
}

/** A new image of one L2 table with these entries, and `more` clusters behind it, from cluster 5 on, with refcount 1. */
function image(entries: readonly bigint[], more = 0): ReturnType<typeof aQcow2> {
  const made = aQcow2().withL2(0, entries);
  made.allocate(Math.max(1, more));
  return made;
}

/** Where the first cluster lies that `image` allocates behind its L2 table. */
const DATA = BigInt(5 * CLUSTER);

describe('memory that QEMU would allocate', () => {
  /** `count` bitmaps of `bits` bits each, all ones, without a byte of data. */
  const bitmaps = (count: number): ReturnType<typeof aQcow2> => {
    const made = aQcow2({ clusterBits: 21, capacity: 2 ** 41 });
    const table = new Uint8Array(8 * 2);
    for (let at = 7; at < table.byteLength; at += 8) table[at] = 1;
    const tables = Array.from({ length: count }, (_, index) => {
      const tableOffset = made.allocate();
      made.withBytes(tableOffset, table);
      return { name: `b${index}`, tableOffset, tableSize: 2 };
    });
    return made.withBitmaps(tables);
  };

  it('is bounded for the sum of all bitmaps, as large as their granularity makes them', async () => {
    // 2 TiB at 64 KiB: 4 MiB each.
    const few = await vetFile(bitmaps(8).write(join(directory, 'few.qcow2')), { unconfined: true });
    expect([few.verdict, codes(few)]).toEqual(['safe', []]);
    const many = await vetFile(bitmaps(80).write(join(directory, 'many.qcow2')), { unconfined: true });
    expect(codes(many)).toContain('QEMU_MEMORY');
  });

  it('counts what qemu-img check allocates: a sparse file of 400 GiB with clusters of 512 bytes', async () => {
    const path = aQcow2({ clusterBits: 9 })
      .withLength(400 * 2 ** 30)
      .write(join(directory, 'sparse.qcow2'));
    const report = await vetFile(path, { unconfined: true });
    expect(codes(report)).toContain('QEMU_MEMORY');
    const trusted = await vetFile(path, { unconfined: true, policy: { ...DEFAULT_POLICY, maxQemuMemory: null } });
    expect(trusted.verdict).toBe('safe');
    rmSync(path);
  });

  it('counts clusters marked used far past the end of the file, where QEMU would write next', async () => {
    const made = aQcow2({ clusterBits: 9 });
    const block = made.allocate();
    // The block that describes 128 GiB and more: its last cluster is in use.
    made.withU64(made.refcountTable + 63 * 8, block).withBytes(block, new Uint8Array(512).fill(1));
    expect(codes(await judgeBytes(made.bytes(), { maxQemuMemory: 2 ** 20 }))).not.toContain('QEMU_MEMORY');
    expect(codes(await judgeBytes(made.bytes(), { maxQemuMemory: 40_000 }))).toContain('QEMU_MEMORY');
  });

  it('counts the L1 tables of all snapshots', async () => {
    const made = aQcow2();
    const l1Size = (8 * 2 ** 20) / 8;
    const snapshots = Array.from({ length: 40 }, (_, index) => ({ l1TableOffset: 2 ** 24 + index * 2 ** 23, l1Size, id: String(index) }));
    const path = made
      .withSnapshots(snapshots)
      .withLength(2 ** 24 + 40 * 2 ** 23)
      .write(join(directory, 'snapshots.qcow2'));
    expect(codes(await vetFile(path, { unconfined: true }))).toContain('QEMU_MEMORY');
  });

  it('refuses a header of more extensions than QEMU reads in reasonable time', async () => {
    const made = aQcow2();
    for (let count = 0; count < 200; count += 1) made.withExtension(0x12345678, new Uint8Array(0));
    expect(codes(await judgeBytes(made.bytes()))).toContain('HEADER_UNSOUND');
  });

  it('is bounded by the policy: a number of bytes', async () => {
    const bytes = aQcow2({ clusterBits: 21, capacity: 2 ** 40 }).bytes();
    expect(codes(await judgeBytes(bytes, { maxQemuMemory: 2 ** 20 }))).toContain('QEMU_MEMORY');
    expect((await judgeBytes(bytes)).verdict).toBe('safe');
  });
});

describe('refcounts and COPIED', () => {
  const sound = (flag: bigint, refcount: number): Uint8Array =>
    image([flag | DATA], 1)
      .withRefcount(5, refcount)
      .bytes();

  it.each([
    ['COPIED at refcount 1', COPIED, 1, 'safe'],
    ['COPIED at refcount 2', COPIED, 2, 'refused'],
    ['no COPIED at refcount 1', 0n, 1, 'refused'],
    ['a refcount that is too high, without COPIED: a leak', 0n, 2, 'safe'],
    ['refcount 0', COPIED, 0, 'refused'],
  ] as const)('%s', async (_what, flag, refcount, verdict) => {
    const bytes = sound(flag, refcount);
    expect((await judgeBytes(bytes)).verdict).toBe(verdict);
    expect(checkCode(bytes) === 2).toBe(verdict === 'refused');
  });

  it.each([
    ['COPIED at refcount 2', COPIED, 2],
    ['no COPIED at refcount 1', 0n, 1],
  ] as const)('of an L2 table: %s', async (_what, flag, refcount) => {
    const bytes = image([COPIED | DATA])
      .withL1(0, flag | BigInt(4 * CLUSTER))
      .withRefcount(4, refcount)
      .bytes();
    expect(codes(await judgeBytes(bytes))).toContain('COPIED_WRONG');
    expect(checkCode(bytes)).toBe(2);
  });

  it('reads the entries past the capacity: a cluster that only they share', async () => {
    const entries = [COPIED | DATA, ...Array<bigint>(20).fill(0n), COPIED | DATA];
    const bytes = image(entries).bytes();
    expect(codes(await judgeBytes(bytes))).toContain('CLUSTER_USED_TWICE');
    expect(checkCode(bytes)).toBe(2);
  });

  it('accepts the same entries if nothing is shared', async () => {
    const bytes = image([COPIED | DATA, ...Array<bigint>(20).fill(0n), COPIED | (DATA + BigInt(CLUSTER))], 2).bytes();
    expect((await judgeBytes(bytes)).verdict).toBe('safe');
    expect(checkCode(bytes)).toBe(0);
  });
});

describe('entries that QEMU fails on', () => {
  const cases: readonly (readonly [string, () => Uint8Array, code: string])[] = [
    ['an L1 entry with COPIED and without a table', () => image([]).withL1(0, COPIED).bytes(), 'ENTRY_INVALID'],
    ['an L2 entry with COPIED and without a cluster', () => image([COPIED]).bytes(), 'ENTRY_INVALID'],
    ['reserved bit 7 alone in an L1 entry', () => image([]).withL1(0, 0x80n).bytes(), 'ENTRY_INVALID'],
    [
      'a high reserved bit in an L1 entry',
      () =>
        image([COPIED | DATA])
          .withL1(0, COPIED | (1n << 56n) | BigInt(4 * CLUSTER))
          .bytes(),
      'ENTRY_INVALID',
    ],
    ['reserved bit 7 alone in an L2 entry', () => image([0x80n]).bytes(), 'ENTRY_INVALID'],
    [
      'a reserved bit in a refcount table entry',
      () => {
        const made = image([]);
        return made.withU64(made.refcountTable, made.refcountBlock + 1).bytes();
      },
      'ENTRY_INVALID',
    ],
    [
      'reserved bit 7 alone in a refcount table entry',
      () => {
        const made = image([]);
        return made.withU64(made.refcountTable + 8, 0x80).bytes();
      },
      'ENTRY_INVALID',
    ],
    ['a compressed cluster with COPIED', () => compressedImage(COPIED), 'ENTRY_INVALID'],
    [
      'invalid compressed data',
      () =>
        image([COMPRESSED | DATA])
          .withBytes(Number(DATA), new Uint8Array(512).fill(0xff))
          .bytes(),
      'COMPRESSED_DAMAGED',
    ],
    ['compressed data that stands for too little', () => compressedImage(0n, 1000), 'COMPRESSED_DAMAGED'],
    ['autoclear bit 0 without bitmaps', () => image([]).withField('autoclearFeatures', 1).bytes(), 'HEADER_UNSOUND'],
    ['autoclear bit 1 without a data file', () => image([]).withField('autoclearFeatures', 2).bytes(), 'HEADER_UNSOUND'],
    ['a capacity that is not a multiple of 512', () => image([]).withField('size', 1000).bytes(), 'HEADER_UNSOUND'],
    [
      'an encryption header without encryption',
      () =>
        image([])
          .withExtension(0x0537be77, Buffer.concat([bigEndian(DATA, 8), bigEndian(512n, 8)]))
          .bytes(),
      'HEADER_UNSOUND',
    ],
    [
      'two extensions of one type',
      () => image([]).withExtension(0xe2792aca, Buffer.from('raw')).withExtension(0xe2792aca, Buffer.from('qcow2')).bytes(),
      'HEADER_UNSOUND',
    ],
    [
      'an unvouched bitmaps extension of another length',
      () => image([]).withExtension(0x23852875, new Uint8Array(16)).bytes(),
      'HEADER_UNSOUND',
    ],
    ['an unaligned snapshot table without snapshots', () => image([]).withField('snapshotsOffset', 1).bytes(), 'HEADER_UNSOUND'],
    [
      'a header that QEMU has no room to write anew',
      () =>
        image([])
          .withExtension(0x12345678, new Uint8Array(CLUSTER - 500))
          .bytes(),
      'HEADER_UNSOUND',
    ],
    ['a bitmap without a name', () => bitmapImage({ name: '' }), 'BITMAP_UNSOUND'],
    ['a bitmap whose name begins with a NUL', () => bitmapImage({ name: '\0x' }), 'BITMAP_UNSOUND'],
    ['a bitmap with reserved flags', () => bitmapImage({ flags: 4 }), 'BITMAP_UNSOUND'],
    ['a bitmap whose table is too long', () => bitmapImage({ tableSize: 2 }), 'BITMAP_UNSOUND'],
    ['a bitmap without a table', () => bitmapImage({ tableSize: 0 }), 'BITMAP_UNSOUND'],
    [
      'a snapshot without its disk size',
      () =>
        image([])
          .withSnapshots([{ extraDataSize: 8 }])
          .bytes(),
      'SNAPSHOT_UNSOUND',
    ],
  ];

  it.each(cases)('%s', async (_what, make, code) => {
    expect(codes(await judgeBytes(make()))).toContain(code);
  });

  it('accepts one valid bitmap and valid compressed data', async () => {
    for (const bytes of [bitmapImage({}), compressedImage(0n)]) {
      expect((await judgeBytes(bytes)).verdict).toBe('safe');
      expect(checkCode(bytes)).toBe(0);
    }
  });

  function compressedImage(flag: bigint, byteLength = CLUSTER): Uint8Array {
    const data = deflateRawSync(new Uint8Array(byteLength), { windowBits: 12 });
    return image([flag | COMPRESSED | DATA])
      .withBytes(Number(DATA), data)
      .bytes();
  }

  function bitmapImage(choice: { name?: string; flags?: number; tableSize?: number }): Uint8Array {
    const made = aQcow2().withL2(0, []);
    const tableOffset = made.allocate();
    return made.withBitmaps([{ name: 'dirty', tableSize: 1, tableOffset, ...choice }]).bytes();
  }
});

describe('a free cluster that keeps bytes of the guest', () => {
  /** The guest's cluster 0 is compressed in the file's last cluster: zeros, then `sector` as it is. The cluster before is free. */
  function compressedAtEnd(sector: Buffer): Uint8Array {
    const zeros = deflateRawSync(new Uint8Array(CLUSTER - sector.byteLength), { windowBits: 12, finishFlush: constants.Z_FULL_FLUSH });
    const stored = Buffer.from([1, 0, 0, 0, 0]);
    stored.writeUInt16LE(sector.byteLength, 1);
    stored.writeUInt16LE(0xffff - sector.byteLength, 3);
    const data = Buffer.concat([zeros, stored, sector]);
    const start = 7 * CLUSTER - data.byteLength;
    const sectors = Math.floor((7 * CLUSTER - 1) / 512) - Math.floor(start / 512);
    return image([COMPRESSED | (BigInt(sectors) << 54n) | BigInt(start)], 2)
      .withRefcount(5, 0)
      .withBytes(start, data)
      .bytes();
  }

  const SECTORS = ['conectix', 'koly', 'EFI PART'].map((sign) => Buffer.concat([Buffer.from(sign), Buffer.alloc(512 - sign.length)]));

  it.each(SECTORS)('stays safe when the guest overwrites a compressed cluster: %#', async (sector) => {
    const path = join(directory, 'freed.qcow2');
    writeFileSync(path, compressedAtEnd(sector));
    expect((await judgeBytes(readFileSync(path))).verdict).toBe('safe');
    expect(spawnSync('qemu-io', ['-f', 'qcow2', '-c', `write -P 9 0 ${CLUSTER}`, path]).status).toBe(0);
    const freed = readFileSync(path);
    expect(freed.subarray(-512).equals(sector)).toBe(true);
    const { verdict, reasons } = await judgeBytes(freed);
    expect([verdict, reasons]).toEqual(['safe', []]);
  });

  it.each(SECTORS)('stays safe when the guest discards where no hole is punched: %#', async (sector) => {
    const path = join(directory, 'discarded.qcow2');
    writeFileSync(path, image([COPIED | DATA]).bytes());
    writeFileSync(join(directory, 'sector'), sector);
    const commands = ['-c', `write -s ${join(directory, 'sector')} ${CLUSTER - 512} 512`, '-c', `discard 0 ${CLUSTER}`];
    const options = `driver=qcow2,discard=unmap,pass-discard-request=off,file.filename=${path}`;
    expect(spawnSync('qemu-io', ['--image-opts', options, ...commands]).status).toBe(0);
    const freed = readFileSync(path);
    expect(freed.subarray(-512).equals(sector)).toBe(true);
    expect((await judgeBytes(freed)).reasons).toEqual([]);
  });

  it('is ambiguous with a footer after the last whole cluster', async () => {
    const bytes = Buffer.concat([image([COPIED | DATA]).bytes(), SECTORS[0] as Buffer]);
    expect((await judgeBytes(bytes)).verdict).toBe('ambiguous');
  });
});

describe('an encrypted image where the policy allows it', () => {
  const policy = { encryption: true };

  it('is attached with LUKS as qemu-img creates it', async () => {
    const path = join(directory, 'luks.qcow2');
    const words = ['--object', 'secret,id=s,data=x', '-f', 'qcow2', '-o', 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10'];
    expect(spawnSync('qemu-img', ['create', '-q', ...words, path, '1M']).status).toBe(0);
    const bytes = readFileSync(path);
    expect((await judgeBytes(bytes, policy)).verdict).toBe('safe');
    // The same with other bytes for its LUKS header: QEMU does not open it.
    bytes.fill(0x2a, bytes.indexOf('LUKS\xba\xbe', 0, 'latin1'), bytes.indexOf('LUKS\xba\xbe', 0, 'latin1') + 6);
    const { verdict, reasons } = await judgeBytes(bytes, policy);
    expect([verdict, codes({ reasons })]).toEqual(['refused', ['HEADER_UNSOUND']]);
    expect(checkCode(bytes)).toBe(1);
  });

  it('is only converted with AES-CBC, with which QEMU runs no guest', async () => {
    const { verdict, reasons } = await judgeBytes(image([]).withField('cryptMethod', 1).bytes(), policy);
    expect([verdict, codes({ reasons })]).toEqual(['convert', expect.arrayContaining(['QEMU_CANNOT_OPEN'])]);
  });
});
