import { mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_TTL_SECONDS } from '#wire';
import { Ledger } from './ledger.ts';
import type { LedgerClock } from './ledger-time.ts';
import { type LedgerRequest, MAX_HELD_OF_ONE } from './ledger-request.ts';

const T0 = Date.UTC(2026, 0, 1);
const MINUTE = 60_000;
const yes = (): { hold: boolean } => ({ hold: true });
const no = (): { hold: boolean } => ({ hold: false });

/** Clocks that tests set: the wall's, and the one that only counts. */
class Clocks implements LedgerClock {
  wall = T0;
  monotonic = 1000;
  boot = 'first';
  wallMs = (): number => this.wall;
  monotonicMs = (): number => this.monotonic;
  pass(ms: number): void {
    this.wall += ms;
    this.monotonic += ms;
  }
}

let directory: string;
let clocks: Clocks;
let opened: Ledger[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-ledger-'));
  clocks = new Clocks();
  opened = [];
});
afterEach(() => {
  for (const one of opened) one.close();
  rmSync(directory, { recursive: true });
});

async function open(): Promise<Ledger> {
  const ledger = await Ledger.open(join(directory, 'ledger.db'), clocks);
  opened.push(ledger);
  return ledger;
}

async function reopen(ledger: Ledger): Promise<Ledger> {
  ledger.close();
  return open();
}

function request(key: string, more: Partial<LedgerRequest> = {}): LedgerRequest {
  return { key, store: 'a', bytes: 1000, path: null, ttlSeconds: 900, ...more };
}

function hold(ledger: Ledger, key: string, more: Partial<LedgerRequest> = {}): void {
  expect(ledger.reserve(request(key, more), clocks.wall, yes).reservation).toMatchObject({ key, state: 'held' });
}

describe('limits', () => {
  it('leave room for others: one holder holds a quarter at most, and what it releases is free again', async () => {
    const ledger = await open();
    for (let count = 0; count < MAX_HELD_OF_ONE; count += 1) hold(ledger, `one-${count}`, { holder: 'user 1000' });
    const more = (holder: string): unknown => ledger.reserve(request('more', { holder }), clocks.wall, yes);
    expect(() => more('user 1000')).toThrow(/2500 of user 1000/);
    hold(ledger, 'two', { holder: 'user 1001' });
    ledger.release('one-7', clocks.wall);
    expect(more('user 1000')).toMatchObject({ reservation: { key: 'more' } });
  });

  it('bound what long paths take in memory', async () => {
    const ledger = await open();
    const path = `/${'p'.repeat(4095)}`;
    const fill = (): void => {
      for (let count = 0; count < 5000; count += 1) hold(ledger, `${count}`, { path });
    };
    expect(fill).toThrow(/characters of keys and paths/);
    expect(ledger.held().length).toBeGreaterThan(4000);
  });

  it('keep a mark that changes with what is held, and is not known while something is over', async () => {
    const ledger = await open();
    const marks = [ledger.mark];
    hold(ledger, 'one');
    marks.push(ledger.mark);
    expect(ledger.mark).toBe(marks[1]);
    ledger.release('one', clocks.wall);
    marks.push(ledger.mark);
    expect(new Set(marks).size).toBe(3);
    hold(ledger, 'two', { ttlSeconds: 1 });
    clocks.pass(MINUTE);
    expect(ledger.mark).toBeUndefined();
  });
});

const keysOf = (list: readonly { readonly key: string }[]): string[] => list.map(({ key }) => key);

describe('reserve()', () => {
  it('holds what decide allows, and tells it what others hold on the store', async () => {
    const ledger = await open();
    hold(ledger, 'one');
    hold(ledger, 'elsewhere', { store: 'b' });
    const seen: unknown[] = [];
    ledger.reserve(request('two', { bytes: 5 }), clocks.wall, (held, own) => {
      seen.push(held, own);
      return { hold: true };
    });
    expect(seen).toEqual([1000, undefined]);
    expect([ledger.heldBytes('a'), ledger.heldBytes('b')]).toEqual([1005, 1000]);
  });

  it('holds nothing where decide says no, and returns its decision', async () => {
    const ledger = await open();
    const decision = { hold: false, why: 'full' };
    expect(ledger.reserve(request('one'), clocks.wall, () => decision)).toEqual({ decision, reservation: null });
    expect(ledger.held()).toEqual([]);
  });

  it('changes nothing when decide throws', async () => {
    const ledger = await open();
    const broken = (): never => {
      throw new Error('store is gone');
    };
    expect(() => ledger.reserve(request('one'), clocks.wall, broken)).toThrow('store is gone');
    expect([ledger.held(), (await reopen(ledger)).held()]).toEqual([[], []]);
  });

  it('states its times and is there after a restart', async () => {
    let ledger = await open();
    hold(ledger, 'one', { path: '/srv/vm/web.qcow2' });
    const expected = {
      key: 'one',
      store: 'a',
      bytes: 1000,
      path: '/srv/vm/web.qcow2',
      createdAt: '2026-01-01T00:00:00.000Z',
      expiresAt: '2026-01-01T00:15:00.000Z',
      state: 'held',
    };
    expect(ledger.held()).toEqual([expected]);
    ledger = await reopen(ledger);
    expect([ledger.held(), ledger.heldBytes('a')]).toEqual([[expected], 1000]);
  });

  it('holds once what is asked for twice, extended to the new TTL and never shortened', async () => {
    const ledger = await open();
    hold(ledger, 'one');
    clocks.pass(10 * MINUTE);
    const again = ledger.reserve(request('one'), clocks.wall, (held, own) => ({ hold: held === 0 && own?.bytes === 1000 }));
    expect(again).toMatchObject({ decision: { hold: true }, reservation: { expiresAt: '2026-01-01T00:25:00.000Z' } });
    hold(ledger, 'one', { ttlSeconds: 1 });
    clocks.pass(14 * MINUTE);
    expect([ledger.heldBytes('a'), ledger.held().length]).toEqual([1000, 1]);
  });

  it('does not extend what decide refuses by now, and keeps it to its end', async () => {
    const ledger = await open();
    hold(ledger, 'one');
    clocks.pass(10 * MINUTE);
    expect(ledger.reserve(request('one'), clocks.wall, no).reservation).toMatchObject({ expiresAt: '2026-01-01T00:15:00.000Z' });
  });

  it.each([{ bytes: 1001 }, { store: 'b' }, { path: '/x' }])('refuses a key that is held for something else: %o', async (more) => {
    const ledger = await open();
    hold(ledger, 'one');
    expect(() => ledger.reserve(request('one', more), clocks.wall, yes)).toThrow(
      expect.objectContaining({ kind: 'conflict', code: 'RESERVATION_DIFFERS' }),
    );
    expect(ledger.heldBytes('a')).toBe(1000);
  });

  it('takes an ended key for something new', async () => {
    const ledger = await open();
    hold(ledger, 'one');
    ledger.release('one', clocks.wall);
    hold(ledger, 'one', { bytes: 7 });
    expect([ledger.heldBytes('a'), ledger.list({ ended: true }).length]).toEqual([7, 2]);
  });

  it('takes any characters in keys, stores and paths, and tells them apart', async () => {
    const keys = ['a\0b', 'a\0c', '\ud800', '\ud801', '\ufffd', "'; DROP TABLE reservation; --", '\n\u001b[31m', '🚢', ' ', '__proto__'];
    let ledger = await open();
    for (const key of keys) hold(ledger, key, { path: key, store: key });
    ledger = await reopen(ledger);
    expect(keysOf(ledger.held())).toEqual(keys);
    expect(keys.map((key) => ledger.held(key)[0]?.path)).toEqual(keys);
  });

  it.each<[string, Partial<Record<keyof LedgerRequest, unknown>>]>([
    ['key', { key: '' }],
    ['key', { key: 'x'.repeat(201) }],
    ['key', { key: 5 }],
    ['store', { store: '' }],
    ['path', { path: '' }],
    ['bytes', { bytes: 0 }],
    ['bytes', { bytes: -1 }],
    ['bytes', { bytes: 1.5 }],
    ['bytes', { bytes: 2 ** 53 }],
    ['bytes', { bytes: Number.NaN }],
    ['ttlSeconds', { ttlSeconds: 0.9 }],
    ['ttlSeconds', { ttlSeconds: MAX_TTL_SECONDS + 1 }],
    ['ttlSeconds', { ttlSeconds: Number.NaN }],
  ])('refuses a wrong %s: %o', async (field, more) => {
    const ledger = await open();
    const wrong = { ...request('one'), ...more } as LedgerRequest;
    expect(() => ledger.reserve(wrong, clocks.wall, yes)).toThrow(
      expect.objectContaining({ kind: 'usage', code: 'RESERVATION_INVALID', where: expect.objectContaining({ field }) }),
    );
  });

  it('refuses what would make the sum inexact', async () => {
    const ledger = await open();
    hold(ledger, 'one', { bytes: Number.MAX_SAFE_INTEGER });
    expect(() => ledger.reserve(request('two', { bytes: 1 }), clocks.wall, yes)).toThrow(
      expect.objectContaining({ code: 'RESERVATIONS_TOO_MANY' }),
    );
  });

  it('never holds more than there is, by 1,000 requests in random order with releases between', async () => {
    const ledger = await open();
    const room = 50_000;
    let state = 42;
    const random = (below: number): number => {
      state = (state * 48_271) % 2_147_483_647;
      return state % below;
    };
    let admitted = 0;
    const requests = Array.from({ length: 1000 }, async (_, index) => {
      await new Promise((resolve) => setTimeout(resolve, random(20)));
      const bytes = 1 + random(2000);
      const fits = (held: number): { hold: boolean } => ({ hold: held + bytes <= room });
      if (ledger.reserve(request(`key-${index}`, { bytes }), clocks.wall, fits).reservation !== null) admitted += 1;
      if (random(3) === 0) {
        const held = ledger.held();
        const one = held[random(Math.max(held.length, 1))];
        if (one !== undefined) ledger.release(one.key, clocks.wall);
      }
      const sum = ledger.held().reduce((total, { bytes: each }) => total + each, 0);
      return sum <= room && sum === ledger.heldBytes('a');
    });
    expect(new Set(await Promise.all(requests))).toEqual(new Set([true]));
    expect(admitted).toBeGreaterThan(100);
    expect(admitted).toBeLessThan(1000);
    expect((await reopen(ledger)).heldBytes('a')).toBe(ledger.heldBytes('a'));
  });
});

describe('the end of a reservation', () => {
  it('comes by release, once; a second release tells the same', async () => {
    let ledger = await open();
    hold(ledger, 'one');
    expect(ledger.release('one', clocks.wall)).toMatchObject({ key: 'one', state: 'released' });
    expect(ledger.release('one', clocks.wall)).toMatchObject({ state: 'released' });
    ledger = await reopen(ledger);
    expect([ledger.heldBytes('a'), ledger.list({ ended: true })[0]?.state]).toEqual([0, 'released']);
  });

  it('comes when its image is there', async () => {
    const ledger = await open();
    hold(ledger, 'one');
    expect(ledger.fulfil('one', clocks.wall)).toMatchObject({ state: 'fulfilled' });
    expect([ledger.held(), ledger.list({ ended: true })[0]?.state]).toEqual([[], 'fulfilled']);
  });

  it('is refused for an unknown key', async () => {
    const ledger = await open();
    expect(() => ledger.release('nobody', clocks.wall)).toThrow(
      expect.objectContaining({ kind: 'not-found', code: 'RESERVATION_UNKNOWN' }),
    );
  });

  it('comes by its TTL, to the millisecond', async () => {
    const ledger = await open();
    hold(ledger, 'one', { ttlSeconds: 60 });
    clocks.pass(MINUTE - 1);
    expect([ledger.expire(clocks.wall), ledger.heldBytes('a')]).toEqual([[], 1000]);
    clocks.pass(1);
    expect([ledger.heldBytes('a'), ledger.held()]).toEqual([0, []]);
    expect(ledger.expire(clocks.wall)).toEqual([expect.objectContaining({ key: 'one', state: 'expired' })]);
    expect(ledger.expire(clocks.wall)).toEqual([]);
    expect(ledger.release('one', clocks.wall).state).toBe('expired');
  });

  it('is written by the next reserve, which may use the key again', async () => {
    let ledger = await open();
    hold(ledger, 'one', { ttlSeconds: 60 });
    clocks.pass(MINUTE);
    hold(ledger, 'one', { bytes: 9 });
    ledger = await reopen(ledger);
    expect([ledger.heldBytes('a'), ledger.list({ ended: true }).map(({ state }) => state)]).toEqual([9, ['held', 'expired']]);
  });

  it('stays on record for a week', async () => {
    const ledger = await open();
    hold(ledger, 'one');
    hold(ledger, 'long', { ttlSeconds: MAX_TTL_SECONDS });
    ledger.release('one', clocks.wall);
    clocks.pass(7 * 24 * 60 * MINUTE);
    ledger.expire(clocks.wall);
    expect(keysOf(ledger.list({ ended: true }))).toEqual(['long', 'one']);
    clocks.pass(11 * MINUTE);
    ledger.expire(clocks.wall);
    expect(keysOf(ledger.list({ ended: true }))).toEqual(['long']);
  });

  it('is listed the last one first, of one store if asked', async () => {
    const ledger = await open();
    for (const [key, store] of [
      ['one', 'a'],
      ['two', 'b'],
      ['three', 'a'],
    ] as const) {
      hold(ledger, key, { store });
      clocks.pass(1000);
      ledger.release(key, clocks.wall);
    }
    expect(keysOf(ledger.list({ ended: true }))).toEqual(['three', 'two', 'one']);
    expect(keysOf(ledger.list({ ended: true, store: 'a', limit: 1 }))).toEqual(['three']);
    expect(ledger.list({ ended: false })).toEqual([]);
  });
});

describe('a clock that jumps', () => {
  it.each([
    ['ahead', 400 * 24 * 60 * MINUTE],
    ['back', -400 * 24 * 60 * MINUTE],
  ])('%s neither ends a reservation nor prolongs it', async (_, jump) => {
    let ledger = await open();
    hold(ledger, 'one', { ttlSeconds: 60 });
    clocks.wall += jump;
    ledger.expire(clocks.wall);
    expect(ledger.heldBytes('a')).toBe(1000);
    expect(ledger.held()[0]?.expiresAt).toBe(new Date(T0 + jump + MINUTE).toISOString());
    ledger = await reopen(ledger);
    clocks.pass(MINUTE - 1);
    expect(ledger.heldBytes('a')).toBe(1000);
    clocks.pass(1);
    expect(ledger.heldBytes('a')).toBe(0);
  });

  it('back, over a reboot, keeps it for its TTL at most', async () => {
    let ledger = await open();
    hold(ledger, 'one', { ttlSeconds: 60 });
    ledger.close();
    Object.assign(clocks, { boot: 'second', monotonic: 5, wall: T0 - 1e9 });
    ledger = await open();
    clocks.pass(MINUTE - 1);
    expect(ledger.heldBytes('a')).toBe(1000);
    clocks.pass(1);
    expect(ledger.heldBytes('a')).toBe(0);
  });

  it('over a reboot the time that passed counts', async () => {
    let ledger = await open();
    hold(ledger, 'one', { ttlSeconds: 60 });
    ledger.close();
    Object.assign(clocks, { boot: 'second', monotonic: 5, wall: T0 + 59_000 });
    ledger = await open();
    expect(ledger.heldBytes('a')).toBe(1000);
    clocks.pass(1000);
    expect(ledger.heldBytes('a')).toBe(0);
  });
});

describe('the file', () => {
  it("is its owner's alone, and so is its directory", async () => {
    const inside = join(directory, 'state');
    const ledger = await Ledger.open(join(inside, 'ledger.db'), clocks);
    opened.push(ledger);
    const modes = ['', ...readdirSync(inside)].map((name) => [name, (statSync(join(inside, name)).mode % 0o1000).toString(8)]);
    expect(Object.fromEntries(modes)).toEqual({ '': '700', 'ledger.db': '600', 'ledger.db-wal': '600', 'ledger.db.lock': '600' });
  });

  it('is not opened twice, and free again when closed', async () => {
    const ledger = await open();
    await expect(open()).rejects.toMatchObject({ kind: 'conflict', code: 'STATE_IN_USE' });
    hold(ledger, 'one');
    expect((await reopen(ledger)).heldBytes('a')).toBe(1000);
  });

  it('is refused as a symbolic link', async () => {
    symlinkSync('/etc/passwd', join(directory, 'ledger.db'));
    await expect(open()).rejects.toMatchObject({ kind: 'refused', code: 'STATE_FILE_REFUSED' });
  });
});

describe('a store with a new id', () => {
  it('has what was reserved under its former one, in memory and in the file', async () => {
    let ledger = await open();
    hold(ledger, 'one', { store: 'dev:0:45' });
    hold(ledger, 'two', { store: 'uuid:b', bytes: 5 });
    ledger.adopt('dev:0:45', 'mount:a', { isOfThisBoot: true });
    expect([ledger.heldBytes('mount:a'), ledger.heldBytes('dev:0:45'), ledger.heldBytes('uuid:b')]).toEqual([1000, 0, 5]);
    ledger = await reopen(ledger);
    expect(ledger.held('mount:a').map(({ key }) => key)).toEqual(['one']);
    expect(ledger.release('one', clocks.wall)).toMatchObject({ store: 'mount:a', state: 'released' });
  });

  it('gets nothing of a device number of an earlier boot, which can have meant another filesystem', async () => {
    let ledger = await open();
    hold(ledger, 'one', { store: 'dev:0:45' });
    clocks.boot = 'second';
    ledger = await reopen(ledger);
    ledger.adopt('dev:0:45', 'mount:a', { isOfThisBoot: true });
    expect(ledger.heldBytes('mount:a')).toBe(0);
    ledger.adopt('dev:0:45', 'mount:a', { isOfThisBoot: false });
    expect(ledger.heldBytes('mount:a')).toBe(1000);
  });
});
