import { appendFileSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  RACY_WINDOW_MS,
  type PathStamp,
  isFresh,
  isSamePathStamp,
  isSamePlace,
  COW_RACY_WINDOW_MS,
  pathStampOf,
  statPath,
} from './path-stamp.ts';

let root: string;
let file: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'plimsoll-mark-'));
  file = join(root, 'file');
  writeFileSync(file, 'x');
});
afterEach(() => rmSync(root, { recursive: true }));

describe('marks', () => {
  it('differ after a write whose times were set back', async () => {
    const before = pathStampOf(Buffer.from(file));
    utimesSync(file, 1, 1);
    const backdated = pathStampOf(Buffer.from(file));
    await new Promise((resolve) => setTimeout(resolve, 20));
    appendFileSync(file, '');
    writeFileSync(file, 'y');
    utimesSync(file, 1, 1);
    expect(isSamePathStamp(before, before)).toBe(true);
    expect(isSamePathStamp(backdated, pathStampOf(Buffer.from(file)))).toBe(false);
    expect(isSamePathStamp(undefined, pathStampOf(Buffer.from(join(root, 'none'))))).toBe(true);
  });

  it('are not trusted right after a change, and longer where changes appear late', () => {
    const mark = { ...(pathStampOf(Buffer.from(file)) as PathStamp), ctimeNs: 1_000_000_000_000n };
    expect([0, 1999, 2001].map((later) => isFresh(mark, 1_000_000 + later, RACY_WINDOW_MS))).toEqual([true, true, false]);
    expect([2001, 59_000, 61_000].map((later) => isFresh(mark, 1_000_000 + later, COW_RACY_WINDOW_MS))).toEqual([true, true, false]);
  });

  it('of a target follow links', async () => {
    const link = join(root, 'link');
    symlinkSync('file', link);
    const seen = await statPath(Buffer.from(link));
    expect(isSamePlace({ ...seen, path: Buffer.from(file) }, await statPath(Buffer.from(file)))).toBe(true);
    rmSync(link);
    expect(await statPath(Buffer.from(link))).toMatchObject({ realPath: undefined, mark: undefined });
  });
});
