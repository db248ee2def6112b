import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openWriters } from './open-writers.ts';
import { fileSizeLimitOf, parseFileSizeLimit } from './process-limits.ts';

let proc: string;
beforeEach(() => {
  proc = mkdtempSync(join(tmpdir(), 'plimsoll-proc-'));
});
afterEach(() => rmSync(proc, { recursive: true, force: true }));

const limits = (soft: string): string =>
  `Limit                     Soft Limit           Hard Limit           Units     \nMax cpu time              unlimited            unlimited            seconds   \nMax file size             ${soft.padEnd(20)} unlimited            bytes     \n`;

/** A process; without descriptors that may be seen where `isInaccessible`. */
function processWith(pid: number, soft: string, isInaccessible: boolean): void {
  mkdirSync(join(proc, String(pid)));
  if (isInaccessible) symlinkSync('fd', join(proc, String(pid), 'fd'));
  else mkdirSync(join(proc, String(pid), 'fd'));
  writeFileSync(join(proc, String(pid), 'limits'), limits(soft));
  writeFileSync(join(proc, String(pid), 'comm'), `qemu-${pid}\n`);
}

it('reads the soft limit, and recognises its absence', () => {
  expect(['unlimited', '0', '1048576'].map((soft) => parseFileSizeLimit(limits(soft)))).toEqual([Infinity, 0, 1048576]);
  expect(['', 'Max file size', limits('-1'), limits('many')].map(parseFileSizeLimit)).toEqual([undefined, undefined, undefined, undefined]);
});

it('names the process, and distinguishes one that has exited from an unreadable one', () => {
  processWith(7, '4096', false);
  expect(fileSizeLimitOf(proc, 7)).toEqual({ bytes: 4096, pid: 7, process: 'qemu-7' });
  expect(fileSizeLimitOf(proc, 8)).toBeUndefined();
  processWith(9, 'unlimited', false);
  expect(fileSizeLimitOf(proc, 9)).toBeUndefined();
  rmSync(join(proc, '9', 'limits'));
  mkdirSync(join(proc, '9', 'limits'));
  expect(fileSizeLimitOf(proc, 9)).toBe('unread');
});

it('counts the lowest limit of the processes whose files are not visible', async () => {
  processWith(10, 'unlimited', true);
  expect((await openWriters({ proc })).inaccessible).toEqual({ limit: undefined, hasUnread: false });
  processWith(11, '8192', true);
  processWith(12, '4096', true);
  processWith(13, '16', false);
  expect((await openWriters({ proc })).inaccessible).toEqual({ limit: { bytes: 4096, pid: 12, process: 'qemu-12' }, hasUnread: false });
  rmSync(join(proc, '10', 'limits'));
  mkdirSync(join(proc, '10', 'limits'));
  expect((await openWriters({ proc })).inaccessible.hasUnread).toBe(true);
});
