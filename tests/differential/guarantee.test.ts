/**
 * The guarantee: what was admitted by the promise can be written, by real QEMU, on real filesystems, all at once and to the
 * last byte, and no answer contradicts that meanwhile. A request that was refused does not fit, which is reported before it happens.
 */
import { randomBytes } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { KiB, MiB } from '#base';
import type { Alert } from '#wire';
import { sampled } from '../support/depth.ts';
import { canMount } from '../support/loop-mount.ts';
import { qemuImg, qemuIo } from '../support/qemu.ts';
import { fillAll, type FilledImage } from './fill-all.ts';
import { WatchedStore } from './watched-store.ts';

const isRoot = canMount('that what was admitted finds room');
/** Blocks reserved for root would be room for these tests, which run as root, that the store does not count. */
const NO_ROOT_BLOCKS: Readonly<Record<string, readonly string[]>> = { ext4: ['-m', '0'] };
/** Different orders and sizes, with rewrites, in several sessions. */
const FILLS = [
  'shuffled',
  'overlapping',
  'twice',
  'everything',
  'unaligned',
  'even-odd',
  'subclusters-shuffled',
  'concurrent-mixed',
  'islands-then-runs',
  'two-sessions-chunks',
  'single',
  'ever-smaller',
];
/** Name, size, options: every way to lay out an image that costs something of its own. */
const CREATED: readonly (readonly [name: string, size: string, options: string])[] = [
  ['sparse.raw', '40M', ''],
  ['reserved.raw', '16M', 'preallocation=falloc'],
  ['plain.qcow2', '48M', ''],
  ['small-clusters.qcow2', '16M', 'cluster_size=4k'],
  ['tiny-clusters.qcow2', '2M', 'cluster_size=512'],
  ['subclusters.qcow2', '24M', 'extended_l2=on,cluster_size=32k'],
  ['mapped.qcow2', '24M', 'preallocation=metadata'],
  ['version-2.qcow2', '24M', 'compat=0.10'],
  ['large-clusters.qcow2', '16M', 'cluster_size=2M'],
  ['lazy.qcow2', '16M', 'lazy_refcounts=on,refcount_bits=64'],
  ['snapshots.qcow2', '16M', ''],
  ['bitmaps.qcow2', '16M', ''],
  ['base.qcow2', '16M', ''],
  ['original.raw', '8M', 'preallocation=full'],
];

const LOADED_STORES: readonly (readonly [kind: 'ext4' | 'xfs', floor: number])[] = [
  ['ext4', 0],
  ['xfs', 0],
  ['ext4', 16 * MiB],
];

describe.skipIf(!isRoot).each(sampled(LOADED_STORES, 3, 1))('on %s, with a floor of %i bytes', (kind, floor) => {
  it('all admitted data is written, to the last byte and at once, and the headroom never falls', async () => {
    await using store = await WatchedStore.open(kind, {
      sizeBytes: 576 * MiB,
      // The store is loaded to the last byte: it has no space for maps that a guest enlarges on purpose.
      rules: `floor = "${floor}"\nassume = ["usual-writes"]`,
      mkfsArguments: NO_ROOT_BLOCKS[kind] ?? [],
    });
    writeFileSync(`${store.mounted.path}/other.bin`, randomBytes(20 * MiB));
    const names = [...(await makeImages(store)), ...(await copyImages(store, kind))];
    await reserve(store, 'later', 'later.raw', '--size', '16M', '-f', 'raw');
    await reserve(store, 'foreign', 'foreign.qcow2', '--size', '24M', '-o', 'cluster_size=64k');
    const snapshot = (await store.images()).find(({ path }) => path.endsWith('/snapshots.qcow2'))?.nextSnapshot?.bytes ?? 0;
    expect(snapshot).toBeGreaterThan(3 * MiB);
    await reserve(store, 'snapshot', undefined, '--bytes', String(snapshot));
    names.push(...(await loadToTheLine(store)));

    // At the line: reservations become images, and nothing is counted twice or not at all.
    await store.must('create', '-q', '-f', 'raw', 'later.raw', '16M');
    await qemuImg(store.directory, 'create', '-q', '-f', 'qcow2', store.path('foreign.qcow2'), '24M');
    names.push('later.raw', 'foreign.qcow2');
    expect((await store.decision(0)).sum.remaining).toBeGreaterThanOrEqual(0);
    await qemuImg(store.directory, 'snapshot', '-c', 'second', store.path('snapshots.qcow2'));
    await store.must('release', 'snapshot');
    expect((await store.decision(0)).sum.remaining).toBeGreaterThanOrEqual(0);
    for (const key of ['later', 'foreign']) await store.run('release', key);
    await takeTheRest(store);

    const watching = watchLine(store);
    const filling = fillAll(names.map((name, index) => filled(store, name, index)));
    await watching.sawViews(6);
    const seen = await watching.end();
    // A scan that begins while guests write knows only the data that they have written back: see docs/admission.md.
    await store.kill();
    await store.serve();
    expect(await store.decision(2 ** 40)).toMatchObject({ admitted: false });
    expect(await filling).toEqual([]);
    expect([seen.lowest >= 0, seen.refusals, seen.alerts]).toEqual([true, [], []]);
    // Its overlay had it locked; without the overlay it counts as writable.
    expect(await fillAll([filled(store, 'base.qcow2', 1)])).toEqual([]);
    expect(store.available()).toBeGreaterThanOrEqual(floor);
    expect(await store.decision(0)).toMatchObject({ admitted: true });
    for (const name of [...names, 'base.qcow2'].filter((one) => one.endsWith('.qcow2')))
      await qemuImg(store.directory, 'check', '-q', store.path(name));
  });
});

describe.skipIf(!isRoot).each(sampled(['ext4', 'xfs'] as const, 2))('on %s', (kind) => {
  it('overcommitment is reported before it hurts, and hurts no earlier than reported', async () => {
    await using store = await WatchedStore.open(kind, {
      sizeBytes: 300 * MiB,
      rules: 'assume = ["usual-writes"]',
      mkfsArguments: NO_ROOT_BLOCKS[kind] ?? [],
    });
    await store.must('create', '-q', '-f', 'raw', 'first.raw', '100M');
    expect((await store.run('check')).code).not.toBe(1);
    const alerts: Alert[] = [];
    const unlisten = store.listen((event) => event.type === 'alert' && event.state === 'raised' && alerts.push(event.alert));
    const free = (await store.decision(0)).sum.remaining ?? 0;
    const second = String(free + 20 * MiB);
    const refused = await store.run('create', '-q', '-f', 'qcow2', 'second.qcow2', second);
    expect([refused.code, refused.stderr]).toEqual([10, expect.stringContaining('Use --overcommit to create it anyway')]);
    const made = await store.run('create', '-q', '--overcommit', '-f', 'qcow2', 'second.qcow2', second);
    expect([made.code, made.stderr]).toEqual([0, expect.stringContaining('overcommitted')]);

    // Reported while most of it still fits.
    await expect.poll(() => alerts.map(({ by }) => by)).toEqual([['policy']]);
    const view = await store.view();
    expect([view.fits, view.level, (view.headroom ?? 0) < -20 * MiB]).toEqual([false, 'warning', true]);
    expect(view.forecast.toFull.outcome).not.toBe('never');
    expect((await store.run('admit', '--bytes', '4K', '--store', store.directory)).code).toBe(10);
    const warned = await store.run('check');
    expect([warned.code, warned.stdout]).toEqual([1, expect.stringMatching(/^PLIMSOLL WARNING .*does not fit/)]);
    expect((await store.run('status')).stdout).toMatch(/warning/i);

    const said = await fillAll([
      { opening: { path: store.path('first.raw'), format: 'raw' }, fill: 'everything', cache: 'writeback' },
      { opening: { path: store.path('second.qcow2'), format: 'qcow2' }, fill: 'chunks-8', cache: 'none' },
    ]);
    expect(said.join()).toContain('No space left on device');
    // All the space that was available has been written before.
    expect(store.available()).toBeLessThan(2 * MiB);
    expect(view.available - store.available()).toBeGreaterThan(free - 2 * MiB);
    await store.decision(0);
    expect(await store.view()).toMatchObject({ fits: false, level: 'critical' });
    const critical = await store.run('check');
    expect([critical.code, critical.stdout]).toEqual([2, expect.stringMatching(/^PLIMSOLL CRITICAL/)]);
    await expect.poll(() => alerts.map(({ level }) => level)).toEqual(['warning', 'critical']);
    unlisten();
  });
});

describe.skipIf(!isRoot)('on btrfs', () => {
  it('no yes is given, with the reason', async () => {
    await using store = await WatchedStore.open('btrfs', { sizeBytes: 256 * MiB });
    await qemuImg(store.directory, 'create', '-q', '-f', 'qcow2', store.path('a.qcow2'), '16M');
    const asked = await store.run('admit', '--bytes', '1M', '--store', store.directory);
    expect([asked.code, asked.stdout]).toEqual([11, expect.stringMatching(/^Unknown/)]);
    expect((await store.view()).fits).toBeNull();
    expect((await store.run('admit', '--bytes', '1G', '--store', store.directory)).code).toBe(10);
  });
});

/** Images of every kind, some with a past, all of them admitted before they were made or grown. */
async function makeImages(store: WatchedStore): Promise<string[]> {
  for (const [name, size, options] of CREATED) {
    const format = name.endsWith('.raw') ? 'raw' : 'qcow2';
    await store.must('create', '-q', '-f', format, ...(options === '' ? [] : ['-o', options]), name, size);
  }
  const write = (name: string, ...commands: string[]): Promise<void> => qemuIo({ path: store.path(name), format: 'qcow2' }, commands);
  await write('snapshots.qcow2', 'write -q 0 12M');
  await grow(store, 'snapshots.qcow2', () => qemuImg(store.directory, 'snapshot', '-c', 'first', store.path('snapshots.qcow2')));
  await write('snapshots.qcow2', 'write -q 2M 3M');
  await grow(store, 'bitmaps.qcow2', async () => {
    for (const name of ['a', 'b']) await qemuImg(store.directory, 'bitmap', '--add', '-g', '4k', store.path('bitmaps.qcow2'), name);
  });
  await write('bitmaps.qcow2', 'write -q 1M 1M');
  await write('base.qcow2', 'write -q 0 6M');
  await store.must('create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', 'overlay.qcow2');
  return [...CREATED.map(([name]) => name).filter((name) => name !== 'base.qcow2'), 'overlay.qcow2'];
}

/** What a foreign tool adds to an image is asked for first: a snapshot by its figure, bitmaps by more than they take. */
async function grow(store: WatchedStore, name: string, work: () => Promise<unknown>): Promise<void> {
  const key = `grow ${name}`;
  await reserve(store, key, undefined, '--bytes', '20M');
  await work();
  await store.must('release', key);
}

/** Copies that share their blocks, or have no hint for the filesystem. */
async function copyImages(store: WatchedStore, kind: string): Promise<string[]> {
  const how = kind === 'xfs' ? '--reflink=always' : '--sparse=always';
  const names = ['copy.raw', 'copy.qcow2'];
  await reserve(store, 'copies', undefined, '--bytes', '96M');
  execFileSync('cp', [how, store.path('original.raw'), store.path('copy.raw')]);
  execFileSync('cp', [how, store.path('snapshots.qcow2'), store.path('copy.qcow2')]);
  await store.must('release', 'copies');
  return names;
}

async function reserve(store: WatchedStore, key: string, name: string | undefined, ...what: readonly string[]): Promise<void> {
  const path = name === undefined ? [] : ['--for', name];
  await store.must('admit', '--store', store.directory, '--reserve', '--key', key, '--ttl', '15m', ...path, ...what);
}

/** Makes images until not even the smallest is admitted. */
async function loadToTheLine(store: WatchedStore): Promise<string[]> {
  const names: string[] = [];
  for (let size = 64 * MiB; size >= 64 * KiB; ) {
    const format = names.length % 2 === 0 ? 'raw' : 'qcow2';
    const name = `load-${names.length}.${format}`;
    const { code, stderr } = await store.run('create', '-q', '-f', format, name, String(size));
    if (code === 0) names.push(name);
    else if (code === 10) size = size / 2;
    else throw new Error(stderr);
  }
  expect((await store.run('admit', '--bytes', '2M', '--store', store.directory)).code).toBe(10);
  return names;
}

/** Leaves nothing beyond the line: another file takes it. */
async function takeTheRest(store: WatchedStore): Promise<void> {
  const { remaining } = (await store.decision(0)).sum;
  writeFileSync(`${store.mounted.path}/rest.bin`, randomBytes(Math.max(0, (remaining ?? 0) - 64 * KiB)), { flush: true });
  const after = await store.decision(0);
  expect(after.sum.remaining).toBeGreaterThanOrEqual(0);
  expect(after.sum.remaining).toBeLessThan(128 * KiB);
}

/** Buffered and direct, some by qemu-storage-daemon. */
function filled(store: WatchedStore, name: string, index: number): FilledImage {
  return {
    opening: { path: store.path(name), format: name.endsWith('.raw') ? 'raw' : 'qcow2' },
    fill: FILLS[index % FILLS.length] as string,
    cache: index % 3 === 0 ? 'none' : 'writeback',
    exported: index % 7 === 0,
  };
}

interface SeenLine {
  /** Lowest headroom of any answer. */
  readonly lowest: number;
  /** Answers that it did not fit, or that the fit was unknown. */
  readonly refusals: readonly string[];
  /** Messages of alerts that say that it does not fit. */
  readonly alerts: readonly string[];
  readonly count: number;
}

/** Asks all the time. */
function watchLine(store: WatchedStore): { sawViews(count: number): Promise<void>; end(): Promise<SeenLine> } {
  const seen = { lowest: Number.POSITIVE_INFINITY, refusals: [] as string[], alerts: [] as string[], count: 0 };
  const over = new AbortController();
  // An older one was raised while a snapshot and its reservation both counted, and stays until more space is free.
  const begun = Date.now();
  const look = async (): Promise<void> => {
    const { fits, headroom, available, residual, reserved, alerts } = await store.view();
    seen.count += 1;
    seen.lowest = Math.min(seen.lowest, headroom ?? Number.NEGATIVE_INFINITY);
    if (fits !== true) {
      const unread = (await store.images()).flatMap(({ path, error }) => (error === undefined ? [] : `${path}: ${error.message}`));
      seen.refusals.push(JSON.stringify({ fits, headroom, available, residual, reserved, unread }));
    }
    const raised = alerts.filter(({ by, since }) => by.includes('policy') && Date.parse(since) >= begun);
    seen.alerts.push(...raised.map(({ message }) => message));
    await new Promise((resolve) => setTimeout(resolve, 40));
  };
  const looking = (async (): Promise<void> => {
    while (!over.signal.aborted) await look();
  })();
  return {
    sawViews: async (count) => {
      while (seen.count < count) await Promise.race([looking, new Promise((resolve) => setTimeout(resolve, 20))]);
    },
    end: async () => {
      over.abort();
      await looking;
      return seen;
    },
  };
}
