/**
 * One of several clients that reserve, release and make images at the same time, each lane as fast as it gets answers. Bundled
 * by daemon-concurrency.test.ts. Prints what happened as JSON lines, with the time of the monotonic clock, which all share.
 *
 *   node daemon-crowd.js SOCKET_OR_URL NAME DIRECTORY REQUESTS LANES
 */
import { randomInt } from 'node:crypto';
import { truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { ask } from '../support/http.ts';

const [base = '', name = '', directory = '', requests = '0', lanes = '1'] = process.argv.slice(2);
const UNIT = 64 * 1024;
const SHARED_KEYS = 40;
let left = Number(requests);

function say(what: string, key: string, more: object = {}): void {
  writeSync(1, `${JSON.stringify({ atNs: String(process.hrtime.bigint()), what, key, ...more })}\n`);
}

async function release(key: string): Promise<void> {
  say('releasing', key);
  const { status } = await ask(base, `/api/v1/reservations/${key}`, { method: 'DELETE' });
  say('released', key, { status });
}

function makeImage(key: string, bytes: number): void {
  say('image', key, { bytes });
  // Under its final name at once with its full size, as a rename would do it.
  const path = join(directory, `${key}.raw`);
  writeFileSync(path, '');
  truncateSync(path, bytes);
}

async function once(): Promise<void> {
  const number = left;
  const isShared = randomInt(4) === 0;
  const key = isShared ? `shared-${randomInt(SHARED_KEYS)}` : `${name}-${number}`;
  const bytes = isShared ? 2 * UNIT : UNIT * (1 + randomInt(4));
  const body = { store: directory, key, bytes, ttlSeconds: 3600, ...(isShared ? {} : { path: join(directory, `${key}.raw`) }) };
  const { status, json } = await ask(base, '/api/v1/admission/reserve', { method: 'POST', body });
  const { reservation } = json as { reservation?: { bytes: number } | null };
  say('answer', key, { status, bytes: reservation?.bytes ?? 0 });
  if (isShared || status >= 400) return;
  const fate = randomInt(4);
  if (fate < 2) makeImage(key, bytes);
  if (fate === 0 || fate === 2) await release(key);
}

await Promise.all(
  Array.from({ length: Number(lanes) }, async () => {
    while (left > 0) {
      left -= 1;
      await once();
    }
  }),
);
