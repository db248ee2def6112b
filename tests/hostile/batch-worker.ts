/**
 * A worker whose reader of images does what their names say: for batch.test.ts, never shipped. An image that is named
 * `kill`, `crash`, ... does that to the worker where it is read, as one that found a flaw could.
 */
import koffi from 'koffi';
import { vetHandler, vetManyHandler, type VetManyParams } from '../../src/sandbox/vet/handler.ts';
import { type Handler, serve } from '#confined';

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

const vetMany: Handler = async (params, devices, signal, requestFile, tellPart) => {
  const { images, ...common } = params as VetManyParams;
  for (const [index, device] of devices.entries()) {
    const image = images[index];
    if (image?.name?.includes('/more-') === true) tellPart({ judgement: 'none' });
    const one: VetManyParams = { ...common, images: image === undefined ? [] : [image] };
    const deed = deedOf(image?.name);
    deed?.();
    await vetManyHandler(one, [device], signal, requestFile, tellPart);
  }
  return null;
};

await serve(
  new Map<string, Handler>([
    ['vet', vetHandler],
    ['vet-many', vetMany],
  ]),
);
