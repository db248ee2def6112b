/** Verdicts: every vector of the threat table, and every hostile qcow2, as a file and as a stream that arrives in pieces. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as setTimeoutAsync } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { DEFAULT_POLICY, vetFile, vetStream } from '#sandbox';
import type { VetReport } from '#wire';
import { aQcow2 } from '../support/qcow2-builder.ts';
import { VDI_VECTORS } from './vdi-vectors.ts';
import { VECTORS } from './vectors.ts';
import { VHD_VECTORS } from './vhd-vectors.ts';
import { VHDX_VECTORS } from './vhdx-vectors.ts';
import { VMDK_VECTORS } from './vmdk-vectors.ts';
import { VET_VECTORS } from './vet-vectors.ts';

// Only tmpfs takes the longest of them.
const directory = mkdtempSync('/dev/shm/plimsoll-vet-');
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What a stream keeps of its beginning: tables further on are not examined, and the report says so. */
const KEPT_BYTES = 4 * 2 ** 20;

/** In pieces of all sizes, as a network brings them. */
async function* arriving(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  let step = 1;
  for (let at = 0; at < bytes.byteLength; at += step) {
    step = (step * 7 + 3) % 100_003;
    yield bytes.subarray(at, Math.min(bytes.byteLength, at + step));
  }
}

type Vet = (bytes: Uint8Array, options: Parameters<typeof vetFile>[1]) => Promise<VetReport>;

const asFile: Vet = (bytes, options) => {
  const path = join(directory, 'image');
  writeFileSync(path, bytes);
  return vetFile(path, { ...options, sha256: true });
};
const asStream: Vet = (bytes, options) => vetStream(arriving(bytes), options);
const inline =
  (vet: Vet): Vet =>
  (bytes, options) =>
    vet(bytes, { ...options, unconfined: true });

const WAYS: readonly (readonly [string, Vet])[] = [
  ['as a file, inline', inline(asFile)],
  ['as a stream, inline', inline(asStream)],
  ['as a file, behind the wall', asFile],
  ['as a stream, behind the wall', asStream],
];

describe.each(WAYS)('a verdict, %s', (way, vet) => {
  it.each(VET_VECTORS)('$name (row $row)', async ({ name, bytes, declared, policy, code, at }) => {
    const report = await vet(bytes(), { declared, policy: { ...DEFAULT_POLICY, ...policy } });
    expect(report.verdict, JSON.stringify(report.reasons)).toBe(name.split('--')[0]);
    expect(report.next === null).toBe(report.verdict !== 'safe');
    if (code === undefined) return;
    const reason = report.reasons.find((one) => one.code === code);
    expect(reason, JSON.stringify(report.reasons)).toBeDefined();
    if (at !== undefined) expect(reason?.at).toBe(at);
  });

  // A process each: behind the wall the vectors above must do.
  if (way.includes('wall')) return;
  it.each(VECTORS.filter(({ code }) => code !== undefined))('refuses $name', async ({ image, code }) => {
    const report = await vet(image.bytes(), {});
    if (report.path === null && image.length > KEPT_BYTES && report.examined === 'header') {
      expect(report.reasons.map((one) => one.code)).toContain('TABLES_NOT_READ');
      return;
    }
    expect(report.verdict).toBe('refused');
    expect(report.reasons.map((one) => one.code)).toContain(code);
  });
});

describe('all ways', () => {
  it.each(VET_VECTORS.slice(0, 8))('come to the same report of $name', async ({ bytes, declared, policy }) => {
    const options = { declared, policy: { ...DEFAULT_POLICY, ...policy } };
    const reports = [];
    for (const [, vet] of WAYS) {
      const { path: _path, identity, ...judgement } = await vet(bytes(), options);
      reports.push({ judgement, sha256: identity.sha256 });
    }
    for (const report of reports) expect(report).toEqual(reports[0]);
  });
});

interface Written {
  readonly name: string;
  readonly write: (path: string) => unknown;
}

function written(name: string, bytes: Uint8Array): Written {
  return { name, write: (path) => writeFileSync(path, bytes) };
}

/** The hostile images of the other formats; `read--` ones are readable, and some fail only where their data is read. */
const OTHERS: readonly (readonly [string, readonly Written[]])[] = [
  ['vmdk', VMDK_VECTORS.map(({ name, image }) => written(name, image instanceof Uint8Array ? image : image.bytes()))],
  ['vhd', VHD_VECTORS.filter(({ atRead }) => atRead !== true).map(({ name, image }) => written(name, image.bytes()))],
  ['vdi', VDI_VECTORS.filter(({ atRead }) => atRead !== true).map(({ name, image }) => written(name, image.bytes()))],
  ['vhdx', VHDX_VECTORS.map(({ name, image }) => ({ name, write: (path) => image.write(path) }))],
];

/** Compressed grains are the guest's data, which no verdict looks at: their reader meets these. */
const ONLY_WHEN_READ = /^corrupt--(marker-|no-zlib|zlib-|bomb|grain-one-byte-short)/;

describe.each(OTHERS)('a verdict on hostile %s', (declared, vectors) => {
  it.each(vectors)('$name', async ({ name, write }) => {
    const path = join(directory, `other-${declared}`);
    write(path);
    const { verdict, reasons } = await vetFile(path, { declared, unconfined: true });
    const isRead = /^(read|report|finding)--/.test(name) || ONLY_WHEN_READ.test(name);
    expect({ verdict, reasons }).toMatchObject(isRead ? {} : { verdict: 'refused' });
  });
});

describe('a file that does not keep still (rows 56 to 58)', () => {
  const path = join(directory, 'restless');

  it('is refused when it is written to meanwhile', async () => {
    aQcow2()
      .withLength(256 * 2 ** 20)
      .write(path);
    const vetting = vetFile(path, { sha256: true, unconfined: true });
    setTimeout(() => appendFileSync(path, 'more'), 30);
    const report = await vetting;
    expect([report.verdict, report.reasons[0]?.code, report.next]).toEqual(['refused', 'CHANGED', null]);
  });

  it('is judged by the object that was opened, whatever has its name by then', async () => {
    aQcow2().write(path);
    const before = statSync(path);
    const vetting = vetFile(path);
    const overlay = join(directory, 'other');
    aQcow2().withBackingFile('/etc/shadow').write(overlay);
    setTimeout(() => renameSync(overlay, path), 20);
    const report = await vetting;
    expect(report.identity).toMatchObject({ device: before.dev, inode: before.ino });
    expect(report.reasons.map(({ code }) => code)).not.toContain('HAS_BACKING_FILE');
  });

  it('is refused while a QEMU writes to it', async () => {
    aQcow2().write(path);
    const server = spawn('qemu-nbd', ['-t', '-f', 'qcow2', '-k', join(directory, 'nbd'), path], { stdio: 'ignore' });
    try {
      for (let tries = 0; tries < 200 && !existsSync(join(directory, 'nbd')); tries += 1) await setTimeoutAsync(50);
      const { verdict, reasons } = await vetFile(path);
      expect([verdict, reasons[0]?.code]).toEqual(['refused', 'IN_USE']);
    } finally {
      server.kill();
      await once(server, 'exit');
    }
  });

  it.each(['fifo', 'directory', 'device', 'link to a device'])('is never opened when it is a %s', async (what) => {
    const odd = join(directory, 'odd');
    rmSync(odd, { recursive: true, force: true });
    if (what === 'fifo') execFileSync('mkfifo', [odd]);
    else if (what === 'directory') mkdirSync(odd);
    else if (what === 'link to a device') symlinkSync('/dev/zero', odd);
    await expect(vetFile(what === 'device' ? '/dev/zero' : odd)).rejects.toMatchObject({ kind: 'refused' });
  });
});

describe('the vectors', () => {
  it('have names of their own', () => {
    const names = VET_VECTORS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^(safe|refused|ambiguous)--[a-z0-9-]+$/);
  });
});
