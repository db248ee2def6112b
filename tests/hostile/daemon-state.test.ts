/** What the daemon keeps, hurt from outside: a full disk, damage, a directory that is gone, a second daemon, a clock that jumps. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Reservation, StoreSample } from '#wire';
import { HANG_MS } from '../support/hang.ts';
import { canMount, withFilesystem } from '../support/loop-mount.ts';
import { readExposition } from '../support/exposition.ts';
import { Cleanup, type DaemonProcess, DaemonProcess as Process, pause } from './daemon-process.ts';

const MiB = 1024 * 1024;
const cleanup = new Cleanup();
let directory: string;
let store: string;
beforeEach(() => {
  directory = cleanup.path(mkdtempSync(join(tmpdir(), 'plimsoll-state-')));
  store = join(directory, 'vm');
  mkdirSync(store);
  writeFileSync(join(store, 'a.raw'), '');
  truncateSync(join(store, 'a.raw'), MiB);
});
afterEach(() => cleanup.all());

const ready = (choice: object = {}): Promise<DaemonProcess> => cleanup.ready({ directory, stores: [store], ...choice });
const hold = async (daemon: DaemonProcess, ...keys: string[]): Promise<void> => {
  for (const key of keys) expect((await daemon.reserve(store, key, MiB, { overcommit: true })).status).toBe(201);
};

/** Everywhere a person or a machine looks. */
async function expectSaid(daemon: DaemonProcess, code: string): Promise<void> {
  const { findings } = await daemon.status();
  expect(findings.filter((one) => one.code === code)).toEqual([{ code, level: 'critical', message: expect.any(String) }]);
  const status = await daemon.command('status');
  expect([status.code, status.stdout]).toEqual([0, expect.stringContaining(code)]);
  const check = await daemon.command('check');
  expect([check.code, check.stdout]).toEqual([1, expect.stringMatching(/^PLIMSOLL WARNING - .*(ledger|history)/i)]);
  const family = readExposition((await daemon.ask('/metrics')).text).get('plimsoll_findings');
  expect(family?.samples.find(({ labels }) => labels['level'] === 'critical')?.value).toBeGreaterThan(0);
}

const overwrite = (file: string): void => writeFileSync(file, Buffer.alloc(64 * 1024, 'not a database '));

describe('a damaged file', () => {
  it('of reservations found at the start is quarantined, created anew, and reported', async () => {
    const first = await ready();
    await hold(first, 'one', 'two');
    await first.kill();
    overwrite(join(first.state, 'ledger.sqlite'));
    const second = await ready();
    await expectSaid(second, 'LEDGER_REBUILT');
    expect(readdirSync(second.state).filter((name) => /^ledger\.sqlite\.corrupt-\d+T\d+Z$/.test(name))).toHaveLength(1);
    await hold(second, 'three');
  });

  it('of history found at the start is quarantined, created anew, and reported; reservations remain', async () => {
    const first = await ready();
    await hold(first, 'one');
    await first.stop();
    overwrite(join(first.state, 'history.sqlite'));
    const second = await ready();
    await expectSaid(second, 'HISTORY_REBUILT');
    expect(await second.heldKeys()).toEqual(['one']);
  });
});

describe('a state directory', () => {
  it('that is removed while it is in use is created anew with all reservations', async () => {
    const daemon = await ready();
    await hold(daemon, 'one');
    rmSync(daemon.state, { recursive: true });
    await hold(daemon, 'two');
    await expectSaid(daemon, 'LEDGER_REBUILT');
    // And no other daemon can take it meanwhile.
    const other = cleanup.watch(new Process({ directory, stores: [store], words: ['--socket', join(directory, 'other')] }));
    const { code, stderr } = await other.process.ended;
    expect([code, stderr]).toEqual([19, expect.stringContaining('locked by another process')]);
    await daemon.kill();
    expect(await (await ready()).heldKeys()).toEqual(['one', 'two']);
  });

  it('that other users may write, or that is not a directory, is refused with an explanation', async () => {
    mkdirSync(join(directory, 'state'));
    chmodSync(join(directory, 'state'), 0o777);
    const open = await cleanup.watch(new Process({ directory, stores: [store] })).process.ended;
    expect([open.code, open.stderr]).toEqual([
      15,
      expect.stringMatching(/^plimsoll: \S+: Cannot use state directory.*mode 777, expected .*\n$/),
    ]);
    rmSync(join(directory, 'state'), { recursive: true });
    writeFileSync(join(directory, 'state'), '');
    const file = await cleanup.watch(new Process({ directory, stores: [store] })).process.ended;
    expect([file.code !== 0, file.stderr]).toEqual([true, expect.stringMatching(/^plimsoll: \S+: Cannot .*state.*\n$/)]);
  });

  it('of another daemon is a conflict, which names both and the remedy; the first one is not disturbed', async () => {
    const first = await ready();
    const second = cleanup.watch(new Process({ directory, stores: [store], words: ['--socket', join(directory, 'other')] }));
    const { code, stderr } = await second.process.ended;
    expect(code).toBe(19);
    expect(stderr).toMatch(/locked by another process, expected one plimsoll serve per state directory/);
    await hold(first, 'one');
    expect(existsSync(first.socket)).toBe(true);
  });
});

const root = canMount('a full disk under the state directory');

describe.runIf(root)('a full disk under the state directory', () => {
  it('refuses what it cannot store, with an explanation, ends reservations, and continues when space is available', async () => {
    await using small = await withFilesystem('ext4', 16 * MiB);
    const daemon = await ready({ words: ['--state', join(small.path, 'state')] });
    await hold(daemon, 'one', 'two');
    const filler = join(small.path, 'filler');
    fill(filler);
    let refused = 0;
    let held = 2;
    for (let count = 0; count < 1000 && refused === 0; count += 20) {
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          daemon.reserve(store, `k${count + index}`, MiB, { overcommit: true, path: `${store}/${'p'.repeat(3900)}` }),
        ),
      );
      held += answers.filter(({ status }) => status === 201).length;
      for (const { status, json } of answers.filter((one) => one.status !== 201)) {
        refused += 1;
        expect([status, json]).toEqual([503, { error: expect.objectContaining({ code: 'LEDGER_UNWRITABLE', kind: 'io' }) }]);
      }
    }
    expect(refused).toBeGreaterThan(0);
    expect(await daemon.heldKeys()).toHaveLength(held);
    await expectSaid(daemon, 'RESERVATIONS_UNWRITABLE');
    expect(await daemon.release('one')).toMatchObject({ status: 200, json: { key: 'one', state: 'released' } });
    rmSync(filler);
    await hold(daemon, 'three');
    expect(await daemon.codes()).not.toContain('RESERVATIONS_UNWRITABLE');
    const keys = await daemon.heldKeys();
    await daemon.kill();
    const next = await ready({ words: ['--state', join(small.path, 'state')] });
    expect(await next.heldKeys()).toEqual(keys);
  });
});

/** To the last byte. */
function fill(file: string): void {
  for (const size of [MiB, 4096, 1]) {
    try {
      for (;;) writeFileSync(file, Buffer.alloc(size), { flag: 'a' });
    } catch {
      // Full for this size.
    }
  }
}

describe('a wall clock that jumps', () => {
  /** Loaded before the daemon: what Date says is off by what stands in a file. */
  const preload = (offsetFile: string): string =>
    `import{readFileSync}from'node:fs';const R=Date;const o=()=>{try{return Number(readFileSync(${JSON.stringify(offsetFile)},'utf8'))||0}catch{return 0}};` +
    'globalThis.Date=class extends R{constructor(...a){if(a.length===0)super(R.now()+o());else super(...a)}static now(){return R.now()+o()}};';

  it.each([
    ['ahead', 400 * 86_400_000],
    ['back', -400 * 86_400_000],
  ])('%s ends no reservation, breaks no answer and loses no history', async (_name, offset) => {
    const file = join(directory, 'offset');
    const module = join(directory, 'clock.mjs');
    writeFileSync(module, preload(file));
    const daemon = await ready({ env: { NODE_OPTIONS: `--import ${module}` } });
    await hold(daemon, 'one');
    const before = await daemon.onlyStore();
    writeFileSync(file, String(offset));
    const from = Date.now() + offset;
    await daemon.rescanned();
    await hold(daemon, 'two');
    expect(await daemon.heldKeys()).toEqual(['one', 'two']);
    const after = await daemon.onlyStore();
    expect([after.allocation, after.level, after.presence]).toEqual([before.allocation, before.level, 'present']);
    const scannedAt = Date.parse(after.scannedAt ?? '');
    expect([scannedAt >= from - 1, scannedAt <= Date.now() + offset + 1]).toEqual([true, true]);
    for (const path of ['/metrics', '/api/v1/alerts', `/api/v1/stores/${encodeURIComponent(after.id)}/moves`]) {
      expect([path, (await daemon.ask(path)).status]).toEqual([path, 200]);
    }
    writeFileSync(file, '0');
    await daemon.rescanned();
    await pause(200);
    const history = await daemon.ask(`/api/v1/stores/${encodeURIComponent(after.id)}/history`);
    expect([history.status, (history.json as StoreSample[]).length > 0]).toEqual([200, true]);
    const { json } = await daemon.ask('/api/v1/reservations');
    for (const { expiresAt, state } of json as Reservation[]) {
      expect([state, Math.abs(Date.parse(expiresAt) - Date.now() - 3_600_000) < HANG_MS]).toEqual(['held', true]);
    }
    await daemon.kill();
    expect(await (await ready()).heldKeys()).toEqual(['one', 'two']);
  });
});
