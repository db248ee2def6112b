/**
 * A worker whose reader of images does what their names say: for batch.test.ts, never shipped. An image that is named
 * `kill`, `crash`, ... does that to the worker where it is read, as one that found a flaw could.
 */
import fs from 'node:fs';
import koffi from 'koffi';
import { type Handler, serve } from '#confined';
import { encodeFrame } from '../../src/confined/frames.ts';
import { vetHandler, type VetParams } from '../../src/sandbox/vet/handler.ts';

const held: Buffer[] = [];

const DEEDS: Readonly<Record<string, () => void>> = {
  crash: () => void koffi.decode(8n, 'int'),
  exit: () => process.exit(0),
  spin: () => {
    for (;;) if (Math.random() > 2) return;
  },
  sleep: () => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0),
  throw: () => {
    throw new Error('a flaw');
  },
  // Alone it is within the limit; two of them are not.
  hoard: () => void held.push(Buffer.alloc(600 * 2 ** 20, 1)),
};

/** Of the file's name, what stands before the first dash. */
function deedOf(name: string | undefined): (() => void) | undefined {
  const [word = ''] = (name ?? '').split('/').at(-1)?.split('-') ?? [];
  return Object.hasOwn(DEEDS, word) ? DEEDS[word] : undefined;
}

/** Of the request in hand, as the client counts. */
let id = 0;

const vet: Handler = async (params, context) => {
  const { name } = params as VetParams;
  id += 1;
  // Not by sendPart, which would wait for credit.
  if (name?.includes('/more-') === true) fs.writeSync(3, encodeFrame({ type: 'part', id, value: { judgement: 'none' } }));
  if (name?.includes('/next-') === true) fs.writeSync(3, encodeFrame({ type: 'result', id: id + 1, value: null }));
  deedOf(name)?.();
  return vetHandler(params, context);
};

await serve(new Map<string, Handler>([['vet', vet]]));
