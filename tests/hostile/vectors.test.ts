import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { examineImage } from '#sandbox';
import { readsSince, readsSoFar } from '../support/read-cost.ts';
import { VECTORS } from './vectors.ts';

const directory = mkdtempSync(join(tmpdir(), 'plimsoll-hostile-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Bytes read for one byte of storage. */
const MAX_TIMES_READ = 8;
/** A table is read by the cluster, of 2 MiB at most, however little of it is stored. */
const READ_ALLOWANCE = 4 * 2 ** 20;

/** What reading must not change; the access time it may. */
function fingerprint(path: string): unknown {
  const { size, mtimeNs, ctimeNs, blocks, ino, nlink, mode } = statSync(path, { bigint: true });
  return { size, mtimeNs, ctimeNs, blocks, ino, nlink, mode, hash: createHash('sha256').update(readFileSync(path)).digest('hex') };
}

describe('a hostile qcow2 image', () => {
  it.each(VECTORS)('$name', async ({ name, image, code, at, field, finding }) => {
    const [kind] = name.split('--');
    const path = image.write(join(directory, `${name}.img`));
    const before = fingerprint(path);
    const readsBefore = readsSoFar();
    const report = await examineImage(path);
    const reads = readsSince(readsBefore);
    expect(fingerprint(path)).toEqual(before);
    expect(reads.bytes).toBeLessThan(MAX_TIMES_READ * statSync(path).blocks * 512 + READ_ALLOWANCE);
    if (code === undefined) {
      expect(report.error).toBeUndefined();
      expect(report.commitment).toBeGreaterThanOrEqual(report.allocation ?? Number.NaN);
      if (kind === 'finding') expect(report.findings.map((one) => one.code)).toContain(finding);
      return;
    }
    expect(report.error).toMatchObject({ kind, code });
    if (at !== undefined) expect(report.error?.at).toBe(at);
    if (field !== undefined) expect(report.error?.field).toBe(field);
    expect(report.error?.message).toMatch(/^Cannot /);
    expect(report).toMatchObject({ commitment: null, length: image.length });
  });

  it('has vectors with distinct names', () => {
    const names = VECTORS.map((vector) => vector.name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^(corrupt|unsupported|refused|over-budget|finding|report)--[a-z0-9-]+$/);
  });
});
