/** Each bomb is read by a process of its own, so that what it costs is known: bounded memory, and no hang. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ImageReport } from '#wire';
import { HANG_MS } from '../support/hang.ts';
import { BOMBS } from './bombs.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const MiB = 2 ** 20;
/** Of these some 130 MB are Node itself and the loader of TypeScript. */
const MAX_BYTES = 512 * MiB;
/** Bytes read for one byte of storage, and of tables in holes, which have none: an L1 table has 32 MiB at most. */
const MAX_TIMES_READ = 8;
const READ_ALLOWANCE = 64 * MiB;

// Only tmpfs supports sparse files of 8 PiB; ext4 ends at 16 TiB.
mkdirSync('/dev/shm', { recursive: true });
const directory = mkdtempSync('/dev/shm/plimsoll-bombs-');
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Cost {
  readonly report: ImageReport;
  readonly readBytes: number;
  readonly peakBytes: number;
}

function examineInChild(path: string): Cost {
  const words = ['--conditions=source', '--import', 'tsx', join(ROOT, 'tests/hostile/examine-child.ts'), path];
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, words, {
    encoding: 'utf8',
    cwd: ROOT,
    timeout: HANG_MS,
    maxBuffer: 256 * MiB,
  });
  if (status !== 0) throw new Error(`exit ${status ?? signal}: ${stderr.slice(0, 500)}`);
  return JSON.parse(stdout) as Cost;
}

describe('a bomb', () => {
  it.each(BOMBS)('$name', ({ name, make, code }) => {
    const [kind] = name.split('--');
    const path = make().write(join(directory, 'bomb'));
    const { mtimeNs, size, blocks } = statSync(path, { bigint: true });
    const { report, readBytes, peakBytes } = examineInChild(path);
    expect(statSync(path, { bigint: true })).toMatchObject({ mtimeNs, size });
    rmSync(path);
    expect({ kind: report.error?.kind ?? 'report', code: report.error?.code }, report.error?.message).toEqual({ kind, code });
    expect(peakBytes).toBeLessThan(MAX_BYTES);
    expect(readBytes).toBeLessThan(MAX_TIMES_READ * Number(blocks) * 512 + READ_ALLOWANCE);
  });
});
