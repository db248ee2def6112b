/** A ledger whose file was damaged, is gone, or lies on a full disk. */
import { randomFillSync } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Ledger } from '../../src/pool/state/ledger.ts';
import { canMount, type MountableKind, withFilesystem } from '../support/loop-mount.ts';

const COUNT = 400;
const yes = (): { hold: boolean } => ({ hold: true });
const PAGE = 4096;

let directory: string;
let file: string;

beforeEach(() => {
  // In memory where possible: hundreds of flushes to a busy disk are not part of the test.
  directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'plimsoll-damage-'));
  file = join(directory, 'ledger.db');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function hold(ledger: Ledger, key: string): void {
  ledger.reserve({ key, store: 'store', bytes: 1000, path: `/srv/${key}`, ttlSeconds: 3600 }, Date.now(), yes);
}

async function aLedger(count = COUNT): Promise<void> {
  const ledger = await Ledger.open(file);
  for (let index = 0; index < count; index += 1) hold(ledger, `key-${index}`);
  ledger.close();
}

function scribble(at: number, byteLength: number): void {
  const fd = openSync(file, 'r+');
  writeSync(fd, randomFillSync(Buffer.alloc(byteLength)), 0, byteLength, at);
  closeSync(fd);
}

/** Offset of a page in which rows of the table lie. */
function pageOfRows(): number {
  const at = readFileSync(file).indexOf('"/srv/key-200"');
  expect(at).toBeGreaterThan(PAGE);
  return at - (at % PAGE);
}

const asideFiles = (): string[] => readdirSync(directory).filter((name) => name.includes('.corrupt-'));

describe('a damaged ledger', () => {
  it.each<[string, () => void, number]>([
    ['random bytes over its header', () => scribble(0, 100), COUNT],
    ['random bytes over its first page', () => scribble(0, PAGE), 0],
    ['random bytes over a page of rows', () => scribble(pageOfRows(), PAGE), COUNT / 2],
    ['half its length', () => truncateSync(file, Math.floor(statSync(file).size / 2 / PAGE) * PAGE), 0],
    ['a text in its place', () => writeFileSync(file, 'this is no database\n'.repeat(1000)), 0],
    ['no length', () => truncateSync(file, 0), 0],
    [
      'a directory in its place',
      () => {
        rmSync(file);
        mkdirSync(file);
      },
      0,
    ],
  ])('with %s is kept aside; what can be read of it is held again', async (_, damage, atLeast) => {
    await aLedger();
    damage();
    const wasDirectory = statSync(file).isDirectory();
    const bytes = wasDirectory ? undefined : readFileSync(file);
    let ledger = await Ledger.open(file);
    const held = ledger.held();
    expect(held.length).toBeGreaterThanOrEqual(atLeast);
    expect(held.every(({ key, path, bytes: each }) => path === `/srv/${key}` && each === 1000)).toBe(true);
    expect(ledger.findings()).toEqual([expect.objectContaining({ level: 'critical', code: 'LEDGER_REBUILT' })]);
    expect(ledger.findings()[0]?.message).toContain(held.length === 0 ? 'No held reservation' : `${held.length} held reservation`);
    const [aside = ''] = asideFiles();
    expect(ledger.findings()[0]?.message).toContain(aside);
    if (bytes !== undefined) expect(readFileSync(join(directory, aside)).equals(bytes)).toBe(true);
    hold(ledger, 'new');
    ledger.close();
    ledger = await Ledger.open(file);
    expect([ledger.held().length, ledger.findings(), asideFiles().length]).toEqual([held.length + 1, [], 1]);
    ledger.close();
    expect(readdirSync(directory).sort()).toEqual(['ledger.db', aside, 'ledger.db.lock'].sort());
  });

  it('with a log but no file is not taken for a new one', async () => {
    writeFileSync(`${file}-wal`, 'left over');
    const ledger = await Ledger.open(file);
    expect(ledger.findings()[0]?.message).toContain('only its log was there');
    expect(asideFiles()).toEqual([expect.stringMatching(/-wal$/)]);
    ledger.close();
  });

  it.each<[string, () => void]>([
    ['removed', () => rmSync(file)],
    ['replaced', () => (rmSync(file), writeFileSync(file, 'something else'))],
  ])('that is %s while in use loses nothing that is held', async (_, damage) => {
    const ledger = await Ledger.open(file);
    for (let index = 0; index < 50; index += 1) hold(ledger, `key-${index}`);
    damage();
    hold(ledger, 'next');
    expect(ledger.findings()).toEqual([expect.objectContaining({ code: 'LEDGER_REBUILT', message: expect.stringContaining('All 50') })]);
    ledger.close();
    const again = await Ledger.open(file);
    expect(again.held().length).toBe(51);
    again.close();
  });

  it('damaged while in use is rebuilt from memory', async () => {
    await aLedger();
    const ledger = await Ledger.open(file);
    // Over the database, under the open ledger: all pages but the first, so that the next read of them fails.
    scribble(PAGE, statSync(file).size - PAGE);
    for (let index = 0; index < 100; index += 1) ledger.release(`key-${index}`, Date.now());
    expect(ledger.findings()).toEqual([expect.objectContaining({ code: 'LEDGER_REBUILT' })]);
    ledger.close();
    const again = await Ledger.open(file);
    expect([again.held().length, again.findings()]).toEqual([COUNT - 100, []]);
    again.close();
  });

  it('is read once more when the process exited before it was refilled', async () => {
    await aLedger();
    scribble(0, 100);
    // As after a crash past the first steps: the file is quarantined, the link names it, and nothing new exists.
    const { quarantine } = await import('../../src/host/index.ts');
    quarantine(file, Date.now());
    expect(existsSync(file)).toBe(false);
    const ledger = await Ledger.open(file);
    expect(ledger.held().length).toBe(COUNT);
    ledger.close();
  });
});

const isRoot = canMount('a full disk under the ledger');

describe.runIf(isRoot)('a full disk under the ledger', () => {
  it.each<MountableKind>(['ext4', 'tmpfs'])(
    'on %s: a reservation that cannot be written is refused, and releases still work',
    async (kind) => {
      await using mount = await withFilesystem(kind, 16 * 2 ** 20);
      file = join(mount.path, 'state', 'ledger.db');
      const ledger = await Ledger.open(file);
      for (let index = 0; index < 300; index += 1) hold(ledger, `key-${index}`);
      fill(join(mount.path, 'filler'));
      const added = holdUntilRefused(ledger);
      expect(ledger.held().length).toBe(300 + added);
      expect(ledger.heldBytes('store')).toBe((300 + added) * 1000);
      for (let index = 0; index < 300; index += 1) ledger.release(`key-${index}`, Date.now());
      expect(ledger.held().length).toBe(added);
      ledger.close();
      rmSync(join(mount.path, 'filler'));
      const again = await Ledger.open(file);
      expect([again.held().length, again.findings()]).toEqual([added, []]);
      hold(again, 'after');
      again.close();
    },
  );
});

function fill(path: string): void {
  const fd = openSync(path, 'w');
  for (const size of [2 ** 20, PAGE, 1]) {
    const filler = Buffer.alloc(size, 1);
    try {
      for (;;) writeSync(fd, filler);
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOSPC' });
    }
  }
  closeSync(fd);
}

/** Returns how many were held before the slack was used up. */
function holdUntilRefused(ledger: Ledger): number {
  for (let count = 0; count < 20_000; count += 1) {
    try {
      hold(ledger, `more-${count}`);
    } catch (error) {
      expect(error).toMatchObject({ kind: 'io', code: 'LEDGER_UNWRITABLE' });
      return count;
    }
  }
  throw new Error('a full disk took 20,000 reservations');
}
