import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { newHostCache } from '#host';
import type { ImageReport } from '#wire';
import { qemuImg } from '../../tests/support/qemu.ts';
import { examineImage } from './examine.ts';

const root = mkdtempSync(join(tmpdir(), 'plimsoll-commit-growth-'));
afterAll(() => rmSync(root, { recursive: true }));

/** A qcow2 of 8 MiB under an overlay of 64 MiB. */
async function pair({ backing = ['-F', 'qcow2'], options = 'cluster_size=64k' } = {}): Promise<string> {
  const directory = mkdtempSync(join(root, 'site-'));
  await qemuImg(directory, 'create', '-q', '-f', 'qcow2', '-o', options, 'base', '8M');
  await qemuImg(directory, 'create', '-q', '-f', 'qcow2', '-u', '-b', 'base', ...backing, 'top', '64M');
  return directory;
}

function codesOf({ findings }: ImageReport): string[] {
  return findings.map(({ code }) => code).filter((code) => code.startsWith('COMMIT') || code.startsWith('BACKING'));
}

/** Puts an entry that no image can have into the L1 table, in place: neither length nor storage changes. */
function breakTables(path: string): void {
  const bytes = readFileSync(path);
  const l1 = Number(bytes.readBigUInt64BE(40));
  bytes.writeBigUInt64BE(0x7777_7777_0000n, l1);
  writeFileSync(path, bytes);
}

describe('the growth of a backing file by a commit', () => {
  it('is stated in bytes on the link and in the finding', async () => {
    const directory = await pair();
    const report = await examineImage(join(directory, 'top'));
    const growth = report.chain[0]?.commitGrowth as number;
    expect(growth).toBeGreaterThanOrEqual(56 * 2 ** 20);
    expect(report.findings).toContainEqual(
      expect.objectContaining({ level: 'warning', code: 'COMMIT_GROWS_BASE', message: expect.stringContaining(`(${growth} bytes)`) }),
    );
  });

  it('follows the format that an undeclared backing file shows', async () => {
    const directory = await pair();
    const top = join(directory, 'top');
    const declared = (await examineImage(top)).chain[0]?.commitGrowth;
    const bytes = readFileSync(top);
    // The header extension that names the backing format becomes one that readers skip.
    bytes.writeUInt32BE(0x12345678, bytes.indexOf(Buffer.from('e2792aca', 'hex')));
    writeFileSync(top, bytes);
    const undeclared = await examineImage(top);
    expect(codesOf(undeclared)).toEqual(['COMMIT_GROWS_BASE', 'BACKING_FORMAT_UNDECLARED']);
    expect(undeclared.chain[0]?.commitGrowth).toBe(declared);
  });

  it('is not known where the tables of the base cannot be read', async () => {
    const directory = await pair();
    breakTables(join(directory, 'base'));
    const report = await examineImage(join(directory, 'top'));
    expect(report.error).toBeUndefined();
    expect(report.chain[0]).toMatchObject({ status: 'opened', commitGrowth: null, commitUnknown: expect.stringContaining('L1') });
    expect(codesOf(report)).toEqual(['COMMIT_GROWTH_UNKNOWN']);
  });

  it('is not known for a format that is not read', async () => {
    const directory = await pair({ backing: ['-F', 'bochs'] });
    const report = await examineImage(join(directory, 'top'));
    expect(report.chain[0]).toMatchObject({ format: 'bochs', commitGrowth: null });
    expect(codesOf(report)).toEqual(['COMMIT_GROWTH_UNKNOWN']);
  });

  it("is not known where the base's external data file is missing", async () => {
    const directory = await pair({ options: 'data_file=data' });
    rmSync(join(directory, 'data'));
    const report = await examineImage(join(directory, 'top'));
    expect(report.chain[0]).toMatchObject({ status: 'opened', commitGrowth: null });
    expect(codesOf(report)).toEqual(['COMMIT_GROWTH_UNKNOWN']);
  });

  it('needs no tables of a base that is as large as its overlay', async () => {
    const directory = await pair();
    await qemuImg(directory, 'resize', '-q', '-f', 'qcow2', 'base', '64M');
    breakTables(join(directory, 'base'));
    const report = await examineImage(join(directory, 'top'));
    expect(report.chain[0]?.commitGrowth).toBe(0);
    expect(codesOf(report)).toEqual([]);
  });

  it('reads the tables of a base once for all overlays of a run', async () => {
    const directory = await pair();
    await qemuImg(directory, 'create', '-q', '-f', 'qcow2', '-b', 'base', '-F', 'qcow2', 'second', '64M');
    const cache = newHostCache();
    const first = await examineImage(join(directory, 'top'), { cache });
    breakTables(join(directory, 'base'));
    const second = await examineImage(join(directory, 'second'), { cache });
    const afresh = await examineImage(join(directory, 'second'));
    expect(second.chain[0]?.commitGrowth).toBe(first.chain[0]?.commitGrowth);
    expect(afresh.chain[0]?.commitGrowth).toBeNull();
  });
});
