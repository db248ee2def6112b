import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openWriters } from './open-writers.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-writers-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function identityOf(path: string): string {
  const { dev, ino } = statSync(path, { bigint: true });
  return `${dev}:${ino}`;
}

it('finds files open for writing, and not those open for reading', async () => {
  const [written, read] = ['written', 'read'].map((name) => join(directory, name)) as [string, string];
  for (const path of [written, read]) writeFileSync(path, 'x');
  const descriptors = [openSync(written, 'a'), openSync(read, 'r')];
  const found = await openWriters();
  expect([found.written.has(identityOf(written)), found.written.has(identityOf(read))]).toEqual([true, false]);
  for (const fd of descriptors) closeSync(fd);
  expect((await openWriters()).written.has(identityOf(written))).toBe(false);
});

it("finds a removed file under its former name, even if that ends like the kernel's mark for removed files", async () => {
  const path = join(directory, 'disk (deleted)');
  const fd = openSync(path, 'w');
  const identity = identityOf(path);
  expect((await openWriters()).nameless.map((file) => file.identity)).not.toContain(identity);
  rmSync(path);
  expect((await openWriters()).nameless).toContainEqual(
    expect.objectContaining({ identity, formerPath: path, pid: process.pid, opening: `/proc/${process.pid}/fd/${fd}` }),
  );
  closeSync(fd);
});

it('fails without a list of processes', async () => {
  await expect(openWriters({ proc: join(directory, 'none') })).rejects.toMatchObject({ kind: 'not-found' });
});
