import { appendFileSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type DirectoryEvent, DirectoryWatches, type WatchedDirectory } from './directory-watches.ts';

let root: string;
const events: DirectoryEvent[] = [];
let watches: DirectoryWatches;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'plimsoll-watches-'));
  events.length = 0;
  watches = new DirectoryWatches((event) => events.push(event), 2);
});
afterEach(() => {
  watches.close();
  rmSync(root, { recursive: true });
});

function directory(name: string): WatchedDirectory {
  const path = join(root, name);
  mkdirSync(path, { recursive: true });
  return { key: String(statSync(path).ino), pathBytes: Buffer.from(path) };
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('DirectoryWatches', () => {
  it('distinguishes new names from writes', async () => {
    watches.cover([directory('a')]);
    writeFileSync(join(root, 'a', 'file'), '');
    await until(() => events.includes('names'));
    events.length = 0;
    appendFileSync(join(root, 'a', 'file'), 'x');
    await until(() => events.length > 0);
    expect(new Set(events)).toEqual(new Set(['content']));
  });

  it('watches no more than permitted, reports it, and drops directories that are no longer listed', () => {
    const [a, b, c] = ['a', 'b', 'c'].map(directory) as [WatchedDirectory, WatchedDirectory, WatchedDirectory];
    expect(watches.cover([a, b])).toBeUndefined();
    expect([watches.cover([a, b, c]), watches.count]).toEqual(['limit', 2]);
    expect([watches.cover([b, c]), watches.count]).toEqual([undefined, 2]);
    expect([watches.cover([{ key: 'gone', pathBytes: Buffer.from(join(root, 'none')) }]), watches.count]).toEqual([undefined, 0]);
  });

  it('suspends a directory that never rests, until it is covered again', async () => {
    const a = directory('a');
    watches.cover([a]);
    for (let burst = 0; burst < 40 && watches.count > 0; burst += 1) {
      for (let file = 0; file < 100; file += 1) writeFileSync(join(root, 'a', `${burst}-${file}`), 'x');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await until(() => watches.count === 0);
    const told = events.length;
    writeFileSync(join(root, 'a', 'more'), '');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([watches.count, events.length]).toEqual([0, told]);
    watches.cover([a]);
    writeFileSync(join(root, 'a', 'again'), '');
    await until(() => events.length > told);
    expect(events.length).toBeGreaterThan(told);
  });
});
