/** Verdicts: every vector of the threat table, as a file and as a stream that arrives in pieces; and files that change. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as setTimeoutAsync } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { isMappedForWriting } from '#host';
import { DEFAULT_POLICY, vetFile } from '#sandbox';
import { nbdGreeting } from '../support/holders.ts';
import { aQcow2 } from '../support/qcow2-builder.ts';
import { VET_VECTORS } from './vet-vectors.ts';
import { waysToVet } from './vet-ways.ts';

// Only tmpfs supports the longest of them.
const directory = mkdtempSync('/dev/shm/plimsoll-vet-');
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const WAYS = waysToVet(directory);

describe.each(WAYS)('a verdict, %s', (_way, vet) => {
  it.each(VET_VECTORS)('$name (row $row)', async ({ name, bytes, declared, policy, code, at }) => {
    const report = await vet(bytes(), { declared, policy: { ...DEFAULT_POLICY, ...policy } });
    expect(report.verdict, JSON.stringify(report.reasons)).toBe(name.split('--')[0]);
    expect(report.next === null).toBe(report.use !== 'attach' && report.use !== 'convert');
    if (code === undefined) return;
    const reason = report.reasons.find((one) => one.code === code);
    expect(reason, JSON.stringify(report.reasons)).toBeDefined();
    if (at !== undefined) expect(reason?.at).toBe(at);
  });
});

describe('all ways', () => {
  it.each(VET_VECTORS.slice(0, 8))('give the same report of $name', async ({ bytes, declared, policy }) => {
    const options = { declared, policy: { ...DEFAULT_POLICY, ...policy } };
    const reports = [];
    for (const [, vet] of WAYS) {
      // The next steps name the file; a stream has no name.
      const { path: _path, identity, next, ...judgement } = await vet(bytes(), options);
      reports.push({ judgement, sha256: identity.sha256, qemuImg: next?.qemuImg });
    }
    for (const report of reports) expect(report).toEqual(reports[0]);
  });
});

/** Whether this process has a descriptor of `path`. */
function isOpenHere(path: string): boolean {
  return readdirSync('/proc/self/fd').some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false;
    }
  });
}

describe('a file that changes during the examination (rows 56 to 58)', () => {
  const path = join(directory, 'restless');

  it('is refused if it is written meanwhile', async () => {
    aQcow2()
      .withLength(256 * 2 ** 20)
      .write(path);
    const vetting = vetFile(path, { sha256: true, unconfined: true });
    const writing = setInterval(() => appendFileSync(path, 'more'), 5);
    const report = await vetting;
    clearInterval(writing);
    expect([report.verdict, report.reasons[0]?.code, report.next]).toEqual(['refused', 'CHANGED', null]);
  });

  it('is judged by the object that was opened, whichever file has its name by then', async () => {
    aQcow2().write(path);
    const before = statSync(path);
    const vetting = vetFile(path);
    const overlay = join(directory, 'other');
    aQcow2().withBackingFile('/etc/shadow').write(overlay);
    while (!isOpenHere(path)) await setTimeoutAsync(1);
    renameSync(overlay, path);
    const report = await vetting;
    expect(report.identity).toMatchObject({ device: before.dev, inode: before.ino });
    expect(report.reasons.map(({ code }) => code)).not.toContain('HAS_BACKING_FILE');
  });

  it('is refused while a QEMU writes to it', async () => {
    aQcow2().write(path);
    const server = spawn('qemu-nbd', ['-t', '-f', 'qcow2', '-k', join(directory, 'nbd'), path], { stdio: 'ignore' });
    try {
      for (let tries = 0; tries < 200 && !existsSync(join(directory, 'nbd')); tries += 1) await setTimeoutAsync(50);
      await nbdGreeting(join(directory, 'nbd'));
      const { verdict, reasons } = await vetFile(path);
      expect([verdict, reasons[0]?.code]).toEqual(['refused', 'IN_USE']);
    } finally {
      server.kill();
      await once(server, 'exit');
    }
  });

  /** Holds the file mapped for writing, its first page dirty, and no descriptor. */
  const MAPPING = `
import mmap, sys
with open(sys.argv[1], 'r+b') as file:
    mapped = mmap.mmap(file.fileno(), 0)
mapped[0:1] = mapped[0:1]
print('ready', flush=True)
sys.stdin.read()
`;

  it('is refused while a process has it mapped for writing, which leaves no trace in its times', async () => {
    aQcow2().write(path);
    const owner = spawn('python3', ['-c', MAPPING, path], { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(owner.stdout, 'data');
    const { dev, ino } = statSync(path);
    // As a user finds them who may not request a lease from the kernel.
    expect(isMappedForWriting({ device: dev, inode: ino })).toBe(true);
    for (const sha256 of [true, false]) {
      const { verdict, use, reasons } = await vetFile(path, { sha256 });
      expect([verdict, use, reasons[0]?.code]).toEqual(['refused', 'refuse', 'IN_USE']);
    }
    owner.kill();
    await once(owner, 'exit');
    expect(isMappedForWriting({ device: dev, inode: ino })).toBe(false);
    const { verdict, identity } = await vetFile(path, { sha256: true });
    expect([verdict, identity.method]).toEqual(['safe', 'content']);
    expect((await vetFile(path)).identity.method).toBe('stamp');
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
  it('have distinct names', () => {
    const names = VET_VECTORS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^(safe|convert|header-only|unrecognised|refused|ambiguous)--[a-z0-9-]+$/);
  });
});
