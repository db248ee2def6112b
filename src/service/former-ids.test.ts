/** A daemon on a state directory of an earlier version, which named a store without a UUID by its device number. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { DEFAULT_RULES, History, Ledger } from '#pool';
import { canMount, withFilesystem } from '../../tests/support/loop-mount.ts';
import { openDaemon } from './daemon.ts';
import { imageIdOf } from './image-views.ts';
import type { StoreService } from './store-service.ts';

const MiB = 2 ** 20;
let state: string;
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'plimsoll-former-'));
});
afterEach(() => rmSync(state, { recursive: true }));

const open = (directory: string): Promise<StoreService> =>
  openDaemon({
    stores: [{ directories: [directory], rules: DEFAULT_RULES }],
    stateDirectory: state,
    version: '0.0.0',
    allowDirectories: [],
    rawFiles: [],
    everyMs: 60_000,
    fullEveryMs: 3_600_000,
  });

it.skipIf(!canMount('state of a store under its former id'))('assigns reservations and history to the stable id', async () => {
  await using mounted = await withFilesystem('tmpfs', 64 * MiB);
  const image = join(mounted.path, 'disk.raw');
  writeFileSync(image, Buffer.alloc(MiB));
  const former = `dev:${execFileSync('findmnt', ['-no', 'MAJ:MIN', mounted.path], { encoding: 'utf8' }).trim()}`;

  const ledger = await Ledger.open(join(state, 'ledger.sqlite'));
  const request = { key: 'one', store: former, bytes: 5 * MiB, path: null, ttlSeconds: 900 };
  ledger.reserve(request, Date.now(), () => ({ hold: true }));
  ledger.close();
  const history = await History.open(join(state, 'history.sqlite'));
  const sizes = { allocation: MiB, commitment: MiB };
  const sample = { ...sizes, id: former, size: 64 * MiB, available: 63 * MiB, residual: 0, reserved: 0 };
  const imageSample = { ...sizes, id: imageIdOf(former, image), storeId: former, path: image, length: MiB };
  const atMs = Date.now() - 120_000;
  await history.append({ atMs, stores: [sample], images: [imageSample] });
  history.close();

  const service = await open(mounted.path);
  try {
    await service.ready();
    const [store] = await service.queryStores();
    expect(store).toMatchObject({ id: expect.stringMatching(/^mount:/), reserved: 5 * MiB });
    const id = store?.id ?? '';
    expect(await service.queryReservations({ store: id, ended: false })).toMatchObject([{ key: 'one', store: id }]);
    const range = { fromMs: atMs - 1000, toMs: atMs, points: 10 };
    expect(await service.storeHistory(id, range)).toHaveLength(1);
    expect(await service.imageHistory(imageIdOf(id, image), { ...range, fromMs: 0, toMs: Date.now() })).not.toEqual([]);
  } finally {
    await service.close();
  }
});
