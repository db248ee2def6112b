/** A running daemon, called as if over a wire: each argument, result, error and event goes through JSON and must survive it. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PlimsollError } from '#base';
import { createImage, parseCreateOptions } from '#create';
import { DEFAULT_RULES } from '#pool';
import type { AdmissionRequest, ServeEvent } from '#wire';
import { openDaemon } from './daemon.ts';
import type { HeldRequest, StoreService } from './store-service.ts';

const MiB = 2 ** 20;
let directory: string;
let images: string;
let service: StoreService;
let storeId: string;
const events: ServeEvent[] = [];

const copyOf = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

/** Methods called and verified so far. */
const called = new Set<string>();
type Call = (...values: unknown[]) => Promise<unknown>;

async function call<M extends keyof StoreService>(
  method: M,
  ...values: Parameters<StoreService[M]>
): Promise<Awaited<ReturnType<StoreService[M]>>> {
  called.add(method);
  expect(copyOf(values)).toStrictEqual(values);
  const work = service[method] as Call;
  const result = await work.apply(service, copyOf(values));
  if (result !== undefined) expect(copyOf(result)).toStrictEqual(result);
  return result as Awaited<ReturnType<StoreService[M]>>;
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-service-'));
  images = join(directory, 'images');
  mkdirSync(images);
  await createImage({ format: 'qcow2', path: join(images, 'web.qcow2'), capacity: 64 * MiB, options: parseCreateOptions('qcow2', []) });
  writeFileSync(join(images, 'broken.qcow2'), 'QFI\xfb', 'latin1');
  service = await openDaemon({
    stores: [{ directories: [images], rules: DEFAULT_RULES }],
    stateDirectory: join(directory, 'state'),
    version: '0.0.0',
    allowDirectories: [],
    rawFiles: [],
    everyMs: 60_000,
    fullEveryMs: 3_600_000,
  });
  service.subscribe((event) => events.push(event));
  called.add('subscribe');
  await call('ready');
  const [store] = await call('queryStores');
  storeId = store?.id ?? '';
});
afterAll(async () => {
  await service.close();
  rmSync(directory, { recursive: true });
});

describe('a StoreService', () => {
  it('answers queries about stores and images', async () => {
    const status = await call('status');
    expect(status.stores.map(({ id, host }) => [id, host])).toEqual([[storeId, status.host.id]]);
    expect(await call('queryStore', storeId)).toMatchObject({ id: storeId, imageCount: 2, unreadableCount: 1 });
    const { images: found } = await call('queryImages', { store: storeId, sort: 'path', descending: false, offset: 0, limit: 10 });
    expect(found.map(({ path }) => path)).toEqual([join(images, 'broken.qcow2'), join(images, 'web.qcow2')]);
    for (const { id, path } of found) expect(await call('queryImage', id)).toMatchObject({ path });
    const range = { fromMs: 0, toMs: Date.now() + 60_000, points: 10 };
    await call('storeHistory', storeId, range);
    await call('imageHistory', found[1]?.id ?? '', range);
    await call('queryAlerts');
    await call('planMoves', storeId);
  });

  it('sizes requested images itself', async () => {
    const image = { format: 'qcow2', capacity: 64 * MiB, options: 'cluster_size=2M' } as const;
    const byImage = await call('checkAdmission', { store: images, image });
    expect(byImage.bytes).toBeGreaterThan(64 * MiB);
    const byBytes = await call('checkAdmission', { store: storeId, bytes: byImage.bytes });
    expect(byBytes.bytes).toBe(byImage.bytes);
  });

  it('reserves, lists and releases', async () => {
    const request: HeldRequest = { store: images, bytes: MiB, key: 'one', ttlSeconds: 60, overcommit: true, holder: 'user 7' };
    const { reservation } = await call('reserve', request);
    expect(reservation).toMatchObject({ key: 'one', store: storeId, bytes: MiB, state: 'held' });
    // Not the whole reservation: `expiresAt` is derived from two clocks, and can differ by a millisecond.
    expect(await call('queryReservations', { store: storeId, ended: false })).toMatchObject([{ key: 'one', bytes: MiB, state: 'held' }]);
    expect(await call('release', 'one')).toMatchObject({ key: 'one', state: 'released' });
    await call('rescan', storeId);
    expect(events.map(({ type }) => type)).toEqual(expect.arrayContaining(['store', 'scan', 'reservation']));
  });

  it.each<[string, keyof StoreService, readonly unknown[]]>([
    ['STORE_UNKNOWN', 'queryStore', ['uuid:none']],
    ['STORE_UNKNOWN', 'rescan', ['uuid:none']],
    ['IMAGE_UNKNOWN', 'queryImage', ['none']],
    ['RESERVATION_UNKNOWN', 'release', ['none']],
    ['ADMISSION_WHAT', 'checkAdmission', [{ store: 'uuid:none' } satisfies AdmissionRequest]],
  ])('rejects with %s, as JSON', async (code, method, values) => {
    const work = service[method] as Call;
    const error = await work.apply(service, [...values]).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PlimsollError);
    const json = (error as PlimsollError).toJSON();
    expect(json.code).toBe(code);
    expect(copyOf(json)).toStrictEqual(json);
  });

  it('emits events that name the host and survive JSON', () => {
    expect(events.length).toBeGreaterThan(0);
    for (const event of events) expect(copyOf(event)).toStrictEqual(event);
    expect(new Set(events.map(({ host }) => host)).size).toBe(1);
  });

  it('was tested in every method', () => {
    const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(service)).filter(
      (name) => !['constructor', 'begin', 'close'].includes(name),
    );
    expect(methods.sort()).toEqual([...called].sort());
  });
});
