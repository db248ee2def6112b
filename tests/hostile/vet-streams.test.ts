/** Images as QEMU makes them, longer than what is kept of a stream's beginning: judged as they arrive. */
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { vetFile, vetStream } from '#sandbox';
import { aQcow2, COPIED } from '../support/qcow2-builder.ts';
import { qemuImg, runTool } from '../support/qemu.ts';
import { arriving } from './vet-ways.ts';

const directory = mkdtempSync(join(tmpdir(), 'plimsoll-vet-streams-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const MiB = 2 ** 20;

/** Where QEMU puts the block allocation table of a VHD. */
const TABLE_AT = 1536;

function writtenTo(bytes: Uint8Array): string {
  const path = join(directory, 'changed');
  writeFileSync(path, bytes);
  return path;
}

interface Made {
  readonly driver: string;
  readonly capacity: string;
  readonly options?: readonly string[];
  readonly writes: readonly string[];
}

const MADE: readonly Made[] = [
  { driver: 'qcow2', capacity: '4G', writes: ['write -P 1 0 6M', 'write -P 2 600M 1M', 'write -P 3 3G 1M'] },
  { driver: 'qcow2', capacity: '1G', options: ['-o', 'cluster_size=4k'], writes: ['write -P 1 0 8M', 'write -P 2 900M 64k'] },
  { driver: 'vpc', capacity: '1G', writes: ['write -P 1 0 9M', 'write -P 2 900M 3M'] },
  { driver: 'vhdx', capacity: '1G', writes: ['write -P 1 0 9M', 'write -P 2 900M 3M'] },
  { driver: 'vdi', capacity: '2T', writes: ['write -P 1 0 2M', 'write -P 2 1T 1M'] },
  { driver: 'vmdk', capacity: '100G', writes: ['write -P 1 0 1M', 'write -P 2 99G 1M'] },
];

async function make({ driver, capacity, options = [], writes }: Made): Promise<string> {
  const path = join(directory, 'made');
  rmSync(path, { force: true });
  await qemuImg(directory, 'create', '-q', '-f', driver, ...options, path, capacity);
  if (writes.length > 0) await runTool('qemu-io', ['-f', driver, ...writes.flatMap((write) => ['-c', write]), path]);
  return path;
}

describe('a stream that is longer than the retained part of its beginning', () => {
  it.each(MADE)('is judged like the file: $driver of $capacity', async (made) => {
    const path = await make(made);
    const bytes = readFileSync(path);
    expect(bytes.byteLength).toBeGreaterThan(5 * MiB);
    const { path: _, identity, next: _next, ...ofFile } = await vetFile(path, { sha256: true });
    for (const unconfined of [true, false]) {
      const { path: __, identity: streamed, next: __next, ...ofStream } = await vetStream(arriving(bytes), { unconfined });
      expect(ofStream).toEqual(ofFile);
      expect(streamed.sha256).toBe(identity.sha256);
    }
    expect([ofFile.verdict, ofFile.examined]).toEqual([made.driver === 'qcow2' ? 'safe' : 'convert', 'tables']);
  });

  it('is refused if nothing announces the tables: a VMDK whose header has them after its first grain', async () => {
    const bytes = readFileSync(await make(MADE[5] as Made));
    // overHead, in sectors: VMware's own stream-optimised images have tables that follow their grains.
    bytes.writeUInt32LE(128, 64);
    expect((await vetFile(writtenTo(bytes), { unconfined: true })).verdict).toBe('convert');
    const { verdict, reasons } = await vetStream(arriving(bytes), { unconfined: true });
    expect([verdict, reasons.map(({ code }) => code)]).toEqual(['refused', ['STREAM_NOT_KEPT', 'CONVERT_ONLY']]);
  });

  it.each<[string, readonly string[], (path: string) => readonly (readonly string[])[]]>([
    ["a snapshot's tables", [], (path) => [['qemu-img', 'snapshot', '-c', 'one', path]]],
    ["a bitmap's tables", [], (path) => [['qemu-img', 'bitmap', '--add', '-f', 'qcow2', path, 'dirty']]],
  ])('is judged by its header only where %s were not kept', async (_, options, commands) => {
    const made = { driver: 'qcow2', capacity: '1G', options, writes: ['write -P 1 0 6M'] };
    const path = await make(made);
    for (const [tool = '', ...words] of commands(path)) await runTool(tool, words);
    // What follows the last table: QEMU would store a bitmap anew behind what it writes.
    truncateSync(path, statSync(path).size + 8 * MiB);
    expect((await vetFile(path, { unconfined: true })).verdict).toBe('safe');
    const { verdict, use, examined, reasons, next } = await vetStream(arriving(readFileSync(path)), { unconfined: true });
    expect([verdict, use, examined, next]).toEqual(['header-only', null, 'header', null]);
    expect(reasons.map(({ code }) => code)).toContain('TABLES_NOT_READ');
  });

  it('is judged by its header only if L2 tables were not retained, since the L1 table lies past the head', async () => {
    const image = aQcow2({ capacity: 2 ** 30 });
    const l1 = 100 * image.clusterSize;
    const l2 = 110 * image.clusterSize;
    const bytes = Buffer.from(
      image
        .withField('l1TableOffset', l1)
        .withLength(200 * image.clusterSize)
        .bytes(),
    );
    bytes.writeBigUInt64BE(COPIED + BigInt(l2), l1);
    // The L2 table maps the guest's first cluster onto the header.
    bytes.writeBigUInt64BE(COPIED, l2);
    expect((await vetFile(writtenTo(bytes), { unconfined: true })).verdict).toBe('refused');
    const { verdict, use } = await vetStream(arriving(bytes), { unconfined: true });
    expect([verdict, use]).toEqual(['header-only', null]);
  });

  it('is judged by its header only if data under a sector bitmap of a VHD was not retained', async () => {
    const path = await make(MADE[2] as Made);
    const bytes = readFileSync(path);
    const sectors = Array.from({ length: 512 }, (_, index) => bytes.readUInt32BE(TABLE_AT + index * 4));
    const wentBy = sectors.find((sector) => sector * 512 > 5 * MiB && sector * 512 < bytes.byteLength - 5 * MiB) as number;
    // By its bitmap, eight sectors of the block were never written.
    bytes[wentBy * 512 + 3] = 0;
    expect((await vetFile(writtenTo(bytes), { unconfined: true })).reasons.map(({ code }) => code)).toEqual([
      'SECTOR_BITMAP',
      'CONVERT_ONLY',
    ]);
    const { verdict, examined, reasons } = await vetStream(arriving(bytes), { unconfined: true });
    expect([verdict, examined, reasons.map(({ code }) => code)]).toEqual(['header-only', 'header', ['TABLES_NOT_READ', 'CONVERT_ONLY']]);
  });
});
