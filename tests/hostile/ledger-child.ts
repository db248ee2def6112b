/**
 * Reserves and releases at random until it is killed. Each line says what is about to be done or was acknowledged; first of
 * all what is held. Bundled by ledger-crash.test.ts.
 *
 *   node ledger-child.js FILE SEED [OPERATIONS]     kills itself after this number of operations; default: never
 */
import { randomInt } from 'node:crypto';
import { writeSync } from 'node:fs';
import { Ledger } from '../../src/pool/state/ledger.ts';

const [file = '', round = '0', operations = 'Infinity'] = process.argv.slice(2);
const say = (...words: readonly unknown[]): void => {
  writeSync(1, `${JSON.stringify(words)}\n`);
};

const ledger = await Ledger.open(file);
const held = ledger.held();
say(
  'held',
  held.map(({ key, bytes }) => [key, bytes]),
  ledger.heldBytes('store'),
  ledger.findings().length,
);
const keys = held.map(({ key }) => key);
for (let count = 0; ; count += 1) {
  if (count >= Number(operations)) process.kill(process.pid, 'SIGKILL');
  if (keys.length > 0 && randomInt(keys.length + 10) >= 10) {
    const key = keys.splice(randomInt(keys.length), 1)[0] ?? '';
    say('release', key);
    ledger.release(key, Date.now());
    say('released', key);
  } else {
    const key = `${round}-${count}`;
    const bytes = 1 + randomInt(2 ** 40);
    say('reserve', key, bytes);
    ledger.reserve({ key, store: 'store', bytes, path: `/srv/vm/${key}.qcow2`, ttlSeconds: 86_400 }, Date.now(), () => ({ hold: true }));
    say('reserved', key, bytes);
    keys.push(key);
  }
}
