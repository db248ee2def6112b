/** Many clients at the same time, over the socket and over HTTP: a store is never promised twice. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { build } from 'esbuild';
import { afterEach, describe, expect, it } from 'vitest';
import { canMount, withFilesystem } from '../support/loop-mount.ts';
import { ROOT } from '../support/root.ts';
import { Cleanup } from './daemon-process.ts';

const MiB = 1024 * 1024;
const SIZE = 64 * MiB;
const CLIENTS = 4;
const REQUESTS = 300;
const LANES = 16;

const cleanup = new Cleanup();
afterEach(() => cleanup.all());

interface Heard {
  readonly atNs: string;
  readonly what: 'answer' | 'releasing' | 'released' | 'image';
  readonly key: string;
  readonly status?: number;
  readonly bytes?: number;
}

async function crowd(script: string, base: string, name: string, directory: string): Promise<Heard[]> {
  const child = spawn(process.execPath, [script, base, name, directory, String(REQUESTS), String(LANES)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'] },
  });
  const heard: Heard[] = [];
  const ended = once(child, 'close');
  for await (const line of createInterface(child.stdout)) heard.push(JSON.parse(line) as Heard);
  expect((await ended)[0]).toBe(0);
  return heard;
}

/** The most that was promised at any moment: what was acknowledged and not yet being released, and images that are there. */
function mostPromised(heard: readonly Heard[]): number {
  const promised = new Map<string, number>();
  const images = new Map<string, number>();
  let most = 0;
  for (const { what, key, status = 0, bytes = 0 } of heard) {
    if (what === 'answer' && status < 300) promised.set(key, bytes);
    else if (what === 'releasing') promised.delete(key);
    else if (what === 'image') images.set(key, bytes);
    const sum = [...new Map([...promised, ...images]).values()].reduce((total, one) => total + one, 0);
    most = Math.max(most, sum);
  }
  return most;
}

const root = canMount('1,000 concurrent reservations on a store of its own');

describe.runIf(root)(`${CLIENTS * REQUESTS} reservations at the same time`, () => {
  it('never reserve more than is available, reserve once per key, and lose no reservation', async () => {
    const directory = cleanup.path(mkdtempSync(join(tmpdir(), 'plimsoll-crowd-')));
    const script = join(directory, 'crowd.mjs');
    await build({
      entryPoints: [join(ROOT, 'tests/hostile/daemon-crowd.ts')],
      outfile: script,
      bundle: true,
      format: 'esm',
      platform: 'node',
      logLevel: 'warning',
    });
    await using store = await withFilesystem('tmpfs', SIZE);
    const daemon = await cleanup.ready({ directory, stores: [store.path], words: ['--log-level', 'error'] });
    const { available } = await daemon.onlyStore();
    const bases = Array.from({ length: CLIENTS }, (_, index) => (index % 2 === 0 ? daemon.socket : daemon.urlWithToken));
    const all = await Promise.all(bases.map((base, index) => crowd(script, base, `c${index}`, store.path)));
    const heard = all.flat().sort((a, b) => (BigInt(a.atNs) < BigInt(b.atNs) ? -1 : 1));

    const answers = heard.filter(({ what }) => what === 'answer');
    expect(answers).toHaveLength(CLIENTS * REQUESTS);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 201, 409]));
    expect(heard.filter(({ what, status }) => what === 'released' && status !== 200)).toEqual([]);
    // The requests exceed the space by far, so the store is nearly full of reservations, and never too full.
    const most = mostPromised(heard);
    expect(most).toBeLessThanOrEqual(available);
    expect(most).toBeGreaterThan(available - MiB);

    await daemon.rescanned();
    const { sum, reserved, residual } = await daemon.onlyStore();
    expect(sum.remaining).toBeGreaterThanOrEqual(0);
    expect(reserved + (residual ?? 0)).toBeLessThanOrEqual(available);
    const held = await daemon.heldKeys();
    expect(new Set(held).size).toBe(held.length);
    // Acknowledged, neither released nor fulfilled: held.
    const ended = new Set(heard.filter(({ what }) => what === 'releasing' || what === 'image').map(({ key }) => key));
    const acknowledged = answers.filter(({ key, status = 0 }) => status < 300 && !ended.has(key)).map(({ key }) => key);
    expect([...new Set(acknowledged)].filter((key) => !held.includes(key))).toEqual([]);
    const images = new Set(heard.filter(({ what }) => what === 'image').map(({ key }) => key));
    expect(held.filter((key) => !acknowledged.includes(key) && !images.has(key))).toEqual([]);
  });
});
