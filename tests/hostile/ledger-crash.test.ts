/** A process that reserves and releases is killed, up to 200 times: what it acknowledged is true, whatever it was doing. */
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { repetitions } from '../support/depth.ts';
import { HANG_MS } from '../support/hang.ts';
import { ROOT } from '../support/root.ts';

const KILLS = repetitions(200, 20);
/** Children at the same time, each with a ledger of its own. */
const LANES = 2;

/** Memory: a kill does not care where the bytes are, and flushing to a busy disk takes most of the time. */
const scratch = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'plimsoll-crash-'));
const bundle = join(scratch, 'ledger-child.mjs');

beforeAll(async () => {
  // libsql stays a package, searched beside the bundle.
  symlinkSync(join(ROOT, 'node_modules'), join(scratch, 'node_modules'));
  await build({
    entryPoints: [join(ROOT, 'tests/hostile/ledger-child.ts')],
    outfile: bundle,
    bundle: true,
    format: 'esm',
    platform: 'node',
    conditions: ['source'],
    external: ['koffi', 'libsql'],
    logLevel: 'warning',
  });
});
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});

/** What must be held, by what was acknowledged; what was begun and not acknowledged may be so or not. */
class Acknowledged {
  readonly held = new Map<string, number>();
  begun: { readonly key: string; readonly bytes: number | undefined } | undefined;

  hear([word, key, bytes]: readonly [string, string, number | undefined]): void {
    if (word === 'reserve') this.begun = { key, bytes };
    else if (word === 'release') this.begun = { key, bytes: this.held.get(key) };
    else {
      this.begun = undefined;
      if (word === 'reserved') this.held.set(key, bytes ?? 0);
      else this.held.delete(key);
    }
  }

  /** Compares with what is held, and takes over what was open. */
  judge(list: readonly (readonly [string, number])[], sum: number): string[] {
    const now = new Map(list);
    const { begun } = this;
    const settled = (key: string): boolean => key !== begun?.key;
    const lost = [...this.held].filter(([key, bytes]) => settled(key) && now.get(key) !== bytes).map(([key]) => `lost ${key}`);
    const extra = list.filter(([key]) => settled(key) && !this.held.has(key)).map(([key]) => `held for no reason: ${key}`);
    const half = begun !== undefined && now.has(begun.key) && now.get(begun.key) !== begun.bytes ? [`half held: ${begun.key}`] : [];
    const twice = now.size === list.length ? [] : ['a key is held twice'];
    const isSum = list.reduce((total, [, bytes]) => total + bytes, 0) === sum;
    if (begun !== undefined && now.has(begun.key)) this.held.set(begun.key, now.get(begun.key) ?? 0);
    else if (begun !== undefined) this.held.delete(begun.key);
    this.begun = undefined;
    return [...lost, ...extra, ...half, ...twice, ...(isSum ? [] : ['the sum is wrong'])];
  }
}

interface Lane {
  complaints: string[];
  acknowledgements: number;
  checked: number;
}

async function runLane(name: string, kills: number): Promise<Lane> {
  const lane: Lane = { complaints: [], acknowledgements: 0, checked: 0 };
  const acknowledged = new Acknowledged();
  // The last round only checks the state.
  for (let round = 0; round <= kills; round += 1) {
    const child = spawn(process.execPath, [bundle, join(scratch, name, 'ledger.db'), `${name}${round}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_EXTRA_CA_CERTS: undefined },
    });
    await watch(child, acknowledged, lane, round === kills);
  }
  return lane;
}

/** Until it is killed: mostly while it works, now and then while it opens. */
async function watch(
  child: ChildProcessByStdio<null, Readable, null>,
  acknowledged: Acknowledged,
  lane: Lane,
  isLast: boolean,
): Promise<void> {
  const kill = (): unknown => child.kill('SIGKILL');
  const early = !isLast && randomInt(5) === 0 ? setTimeout(kill, randomInt(60, 140)) : undefined;
  // Counted, not timed: a slow host does as much work before a kill as a fast one.
  const linesBeforeKill = isLast ? 0 : 3 + randomInt(40);
  let lines = 0;
  for await (const line of createInterface(child.stdout)) {
    const said = JSON.parse(line) as readonly [string, never, never, number?];
    if (said[0] !== 'held') {
      acknowledged.hear(said as unknown as [string, string, number | undefined]);
      if (said[0].endsWith('d')) lane.acknowledgements += 1;
      lines += 1;
      if (lines === linesBeforeKill) kill();
      continue;
    }
    lane.complaints.push(...acknowledged.judge(said[1], said[2]));
    if (said[3] !== 0) lane.complaints.push('a finding: the ledger was damaged');
    lane.checked += 1;
    if (isLast) kill();
  }
  clearTimeout(early);
}

describe('a killed ledger', () => {
  it(`keeps every acknowledged reservation, ${KILLS} times`, { timeout: HANG_MS }, async () => {
    const lanes = await Promise.all(Array.from({ length: LANES }, (_, index) => runLane(`lane${index}`, KILLS / LANES)));
    expect(lanes.flatMap(({ complaints }) => complaints)).toEqual([]);
    const total = (of: 'acknowledgements' | 'checked'): number => lanes.reduce((sum, lane) => sum + lane[of], 0);
    expect(total('checked')).toBeGreaterThan(KILLS / 2);
    expect(total('acknowledgements')).toBeGreaterThan(KILLS);
  });

  it('has flushed what it acknowledges', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'plimsoll-strace-')), 'ledger.db');
    const calls = ['-f', '-y', '-e', 'trace=write,pwrite64,fsync,fdatasync', '-s', '12'];
    const words = [...calls, process.execPath, bundle, file, 's', '12'];
    const { stderr, error } = spawnSync('strace', words, { encoding: 'utf8', maxBuffer: 2 ** 28 });
    rmSync(join(file, '..'), { recursive: true });
    expect(error).toBeUndefined();
    expect(unflushed(stderr)).toEqual({ acknowledged: 12, early: [] });
  });
});

describe('a second process', () => {
  it('gets the error that the ledger is in use, until the first is killed', async () => {
    const file = join(scratch, 'shared', 'ledger.db');
    const first = spawn(process.execPath, [bundle, file, 'first'], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(first.stdout, 'data');
    const second = spawnSync(process.execPath, [bundle, file, 'second'], { encoding: 'utf8' });
    expect([second.status, second.stdout]).toEqual([1, '']);
    expect(second.stderr).toContain('STATE_IN_USE');
    first.kill('SIGKILL');
    await once(first, 'exit');
    const third = spawnSync(process.execPath, [bundle, file, 'third', '1'], { encoding: 'utf8' });
    expect(third.stdout).toMatch(/^\["held",/);
  });
});

describe('without libsql', () => {
  it('names the package to install', () => {
    const alone = mkdtempSync(join(tmpdir(), 'plimsoll-alone-'));
    copyFileSync(bundle, join(alone, 'child.mjs'));
    const { stderr, status } = spawnSync(process.execPath, [join(alone, 'child.mjs'), join(alone, 'l.db'), 'x'], { encoding: 'utf8' });
    rmSync(alone, { recursive: true });
    expect(status).toBe(1);
    expect(stderr).toContain('SQLITE_UNAVAILABLE');
    expect(stderr).toContain('npm install libsql');
  });
});

/** Acknowledgements that were said while something written to the ledger or its log was not flushed yet. */
function unflushed(trace: string): { acknowledged: number; early: string[] } {
  const early: string[] = [];
  let acknowledged = 0;
  let dirty = true;
  for (const line of trace.split('\n')) {
    if (/pwrite64\(\d+<[^>]*ledger\.db-wal>/.test(line)) dirty = true;
    if (/f(data)?sync\(\d+<[^>]*ledger\.db-wal>/.test(line)) dirty = false;
    if (!/write\(1<.*"\[\\"(reserved|released)/.test(line)) continue;
    acknowledged += 1;
    if (dirty) early.push(line);
  }
  return { acknowledged, early };
}
