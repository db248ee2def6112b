/** The daemon is killed while it reserves, releases and looks: what it acknowledged is true after each restart. */
import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Reservation } from '#wire';
import { repetitions } from '../support/depth.ts';
import { HANG_MS } from '../support/hang.ts';
import { DaemonProcess, pause } from './daemon-process.ts';

/** Daemons that are killed. Nearly all the time goes into starting them; PLIMSOLL_KILLS=200 is a long run by hand. */
const KILLS = Number(process.env['PLIMSOLL_KILLS'] ?? repetitions(60, 8));
/** Daemons at the same time, each with a ledger of its own. */
const LANES = 2;
/** Clients of each daemon at the same time. */
const CLIENTS = 4;

/** Memory: a kill does not care where the bytes are. */
const scratch = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'plimsoll-killed-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** The reservations that must exist after the acknowledged requests. The outcome of unanswered requests is unknown until checked. */
class Word {
  readonly held = new Map<string, number>();
  readonly released = new Set<string>();
  readonly open = new Set<string>();
  acknowledged = 0;

  judge(listed: readonly Reservation[]): string[] {
    const now = new Map(listed.map(({ key, bytes }) => [key, bytes]));
    const lost = [...this.held].filter(([key, bytes]) => !this.open.has(key) && now.get(key) !== bytes).map(([key]) => `lost: ${key}`);
    const back = [...this.released].filter((key) => now.has(key)).map((key) => `released, and held again: ${key}`);
    const twice = now.size === listed.length ? [] : ['a key is held twice'];
    const known = (key: string): boolean => this.held.has(key) || this.open.has(key) || this.released.has(key);
    const extra = [...now.keys()].filter((key) => !known(key)).map((key) => `held for no reason: ${key}`);
    for (const key of this.open) {
      if (now.has(key)) this.held.set(key, now.get(key) ?? 0);
      else this.held.delete(key);
    }
    this.open.clear();
    return [...lost, ...back, ...twice, ...extra];
  }
}

/** One client, until the daemon is gone. */
async function work(daemon: DaemonProcess, store: string, word: Word, name: string): Promise<void> {
  for (let count = 0; ; count += 1) {
    const free = [...word.held.keys()].filter((key) => !word.open.has(key));
    const chosen = free[randomInt(free.length + 3)];
    const key = chosen ?? `${name}-${count}`;
    try {
      word.open.add(key);
      if (chosen === undefined) {
        const bytes = 1 + randomInt(2 ** 20);
        const { status } = await daemon.reserve(store, key, bytes, { overcommit: true, path: join(store, `${key}.raw`) });
        expect(status).toBe(201);
        word.held.set(key, bytes);
      } else {
        expect((await daemon.release(key)).status).toBe(200);
        word.held.delete(key);
        word.released.add(key);
      }
      word.open.delete(key);
      word.acknowledged += 1;
      if (randomInt(8) === 0) await daemon.ask('/api/v1/rescan', { method: 'POST', body: {} });
    } catch (error) {
      if (error instanceof Error && /ECONNRE|socket hang up|ENOENT|EPIPE/.test(error.message)) return;
      throw error;
    }
  }
}

/** Resolves when `target` changes are acknowledged. Counted, not timed: a slow machine does as much before a kill as a fast one. */
async function atWork(word: Word, target: number): Promise<void> {
  while (word.acknowledged < target) await pause(1);
}

async function runLane(name: string, kills: number): Promise<{ complaints: string[]; word: Word; restarts: number }> {
  const directory = join(scratch, name);
  const store = join(directory, 'vm');
  mkdirSync(store, { recursive: true });
  writeFileSync(join(store, 'a.raw'), '');
  truncateSync(join(store, 'a.raw'), 2 ** 30);
  const word = new Word();
  const complaints: string[] = [];
  let restarts = 0;
  for (let round = 0; round <= kills; round += 1) {
    const daemon = new DaemonProcess({ directory, stores: [store], words: ['--log-level', 'silent', '--listen', 'off'] });
    try {
      // Sometimes while it starts.
      if (round < kills && randomInt(6) === 0) {
        await pause(randomInt(100, 600));
        continue;
      }
      await daemon.answers();
      complaints.push(...word.judge((await daemon.ask('/api/v1/reservations')).json as Reservation[]));
      complaints.push(...(await daemon.status()).findings.filter(({ level }) => level === 'critical').map(({ message }) => message));
      restarts += 1;
      const clients = Array.from({ length: CLIENTS }, (_, client) => work(daemon, store, word, `${name}-${round}-${client}`));
      const all = Promise.all(clients);
      await Promise.race([all, atWork(word, word.acknowledged + 2 + randomInt(12))]);
      await daemon.kill();
      await all;
    } finally {
      await daemon.kill();
    }
  }
  return { complaints, word, restarts };
}

describe('a killed daemon', () => {
  it(`keeps every acknowledged reservation, ${KILLS} times`, { timeout: HANG_MS + KILLS * 3000 }, async () => {
    const lanes = await Promise.all(Array.from({ length: LANES }, (_, lane) => runLane(`l${lane}`, KILLS / LANES)));
    expect(lanes.flatMap(({ complaints }) => complaints)).toEqual([]);
    // It was working.
    for (const { word, restarts } of lanes) expect([word.acknowledged > KILLS / LANES, restarts > KILLS / LANES / 2]).toEqual([true, true]);
  });
});
