/**
 * One life of a real daemon over a store: its first scan, looks without a change, then readers while one full scan follows the
 * other. Prints what it took.
 *
 *   daemon-run.ts PLIMSOLL STORE STATE READERS_PROGRAM
 */
import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { AnswerTimes } from './daemon-readers.ts';

export interface DaemonRun {
  /** The scan by itself, as the daemon tells it, and from the start of the process until it answered. */
  readonly firstMs: number;
  readonly answeredMs: number;
  readonly unchangedMs: readonly number[];
  /** A full scan while 50 read. */
  readonly scansMs: readonly number[];
  readonly answers: readonly AnswerTimes[];
  readonly peakBytes: number;
}

const UNCHANGED = 10;
/** Until what was just made is old enough to be trusted. */
const AGEING_MS = 3000;
const READERS = 50;
/** Can be said otherwise to look closer: no pause is a test of how much the daemon can bear. */
const READ_SECONDS = Number(process.env['READ_SECONDS'] ?? 20);
const PAUSE_MS = Number(process.env['PAUSE_MS'] ?? 100);
const SORTS = ['risk', 'path', 'capacity', 'length', 'allocation', 'commitment', 'residual', 'exclusive', 'growth'];
const PORT = 9464 + (process.pid % 10_000);

const [, , main = '', store = '', state = '', readers = ''] = process.argv;

interface View {
  readonly id: string;
  readonly scannedAt: string | null;
  readonly scanSeconds: number | null;
}

const began = performance.now();
const { NODE_EXTRA_CA_CERTS: _, NODE_OPTIONS: __, ...env } = process.env;
const nodeFlags = (process.env['DAEMON_FLAGS'] ?? '').split(' ').filter((flag) => flag !== '');
const words = [main, 'serve', '--listen', `127.0.0.1:${PORT}`, '--socket', 'off', '--state', state, '--interval', '1s', store];
const daemon = spawn(process.execPath, [...nodeFlags, ...words], { stdio: ['ignore', 'pipe', 'ignore'], env });
const over = new Promise((resolve) => {
  daemon.on('exit', resolve);
});
try {
  await new Promise<void>((resolve, reject) => {
    daemon.stdout.once('data', () => resolve());
    daemon.once('exit', (code) => reject(new Error(`the daemon ended with ${code}`)));
  });
  const answeredMs = performance.now() - began;
  const first = await scanned(undefined);
  await pause(AGEING_MS);
  let last = await scanned(undefined);
  const unchangedMs: number[] = [];
  while (unchangedMs.length < UNCHANGED) {
    last = await scanned(last.scannedAt ?? undefined);
    unchangedMs.push(1000 * (last.scanSeconds ?? 0));
  }
  const scansMs: number[] = [];
  const reading = promisify(execFile)(
    process.execPath,
    [readers, String(PORT), String(READERS), String(READ_SECONDS), String(PAUSE_MS), ...(await paths(first.id))],
    { maxBuffer: 2 ** 28, env },
  );
  const isRead = { yet: false };
  void reading.finally(() => (isRead.yet = true)).catch(() => {});
  while (!isRead.yet) scansMs.push(...(await fullScan(isRead)));
  const answers = JSON.parse((await reading).stdout) as AnswerTimes[];
  const run: DaemonRun = {
    firstMs: 1000 * (first.scanSeconds ?? 0),
    answeredMs,
    unchangedMs,
    scansMs,
    answers,
    peakBytes: peakBytes(daemon.pid ?? 0),
  };
  console.log(JSON.stringify(run));
} finally {
  daemon.kill('SIGTERM');
  await over;
}

/** Every page of docs/api.md that only looks; the largest page of images, too. */
async function paths(id: string): Promise<string[]> {
  const api = '/api/v1';
  const ofStore = `${api}/stores/${encodeURIComponent(id)}`;
  const { images } = (await answer(`${api}/images?limit=1&offset=5000`)) as { images: { id: string }[] };
  const image = `${api}/images/${images[0]?.id ?? ''}`;
  return [
    `${api}/status`,
    `${api}/stores`,
    ofStore,
    ...SORTS.flatMap((sort) => [`${api}/images?sort=${sort}`, `${api}/images?sort=${sort}&descending=${sort === 'path'}&offset=5000`]),
    `${api}/images?search=vm-00042`,
    `${api}/images?search=7&sort=residual`,
    `${api}/images?limit=500`,
    image,
    `${ofStore}/history`,
    `${image}/history`,
    `${ofStore}/moves`,
    `${api}/alerts`,
    `${api}/reservations`,
    '/metrics',
  ];
}

async function answer(path: string, choice: RequestInit = {}): Promise<unknown> {
  return (await fetch(`http://127.0.0.1:${PORT}${path}`, choice)).json();
}

/** The store after a look that ended after `after`. */
async function scanned(after: string | undefined): Promise<View> {
  for (;;) {
    const [view] = (await answer('/api/v1/stores')) as View[];
    if (view !== undefined && view.scannedAt !== null && view.scannedAt !== after) return view;
    await pause(50);
  }
}

/** Until a full scan that is asked for now is over, or `end`; how long it took, where it came to its end. */
async function fullScan(end: { readonly yet: boolean }): Promise<number[]> {
  const stop = new AbortController();
  const timer = setInterval(() => end.yet && stop.abort(), 50);
  const from = performance.now();
  try {
    const { body } = await fetch(`http://127.0.0.1:${PORT}/api/v1/events`, { signal: stop.signal });
    const headers = { 'content-type': 'application/json' };
    void answer('/api/v1/rescan', { method: 'POST', headers, body: '{}' }).catch(() => {});
    let text = '';
    for await (const piece of body ?? []) {
      text += Buffer.from(piece).toString();
      if (endsFullScan(text)) return [performance.now() - from];
      text = text.slice(text.lastIndexOf('\n\n') + 2);
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    clearInterval(timer);
    stop.abort();
  }
  return [];
}

/** Looks at what changed read few images or none. */
const IMAGES_OF_FULL_SCAN = 100;

function endsFullScan(events: string): boolean {
  const scans = [...events.matchAll(/^data: (\{"type":"scan".*\})$/gm)].map(([, json]) => JSON.parse(json as string) as Scan);
  return scans.some(({ ended, imagesRead }) => ended && imagesRead > IMAGES_OF_FULL_SCAN);
}

interface Scan {
  readonly ended: boolean;
  readonly imagesRead: number;
}

function peakBytes(pid: number): number {
  return 1024 * Number(/^VmHWM:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
