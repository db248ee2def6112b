import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { canMount, withFilesystem } from '../../../tests/support/loop-mount.ts';
import { History } from './history.ts';
import type { ImageState, StoreState } from './history-series.ts';

const T0 = Date.UTC(2026, 0, 1);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

let directory: string;
let history: History;
let monotonic: number;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-history-'));
  monotonic = 0;
  history = await open();
});
afterEach(() => {
  history.close();
  rmSync(directory, { recursive: true });
});

const open = (): Promise<History> => History.open(join(directory, 'history.db'), { monotonicMs: () => monotonic, retentionMs: 400 * DAY });

async function reopen(): Promise<void> {
  history.close();
  history = await open();
}

const aStore = (available: number, id = 'store'): StoreState => ({
  id,
  size: 1000,
  available,
  allocation: 1000 - available,
  commitment: 5000,
  residual: null,
  reserved: 7,
});
const anImage = (allocation: number, id = 'image', storeId = 'store'): ImageState => ({
  id,
  storeId,
  path: `/srv/${id}`,
  length: null,
  allocation,
  commitment: 9000,
});

/** The clock and the time go on evenly. */
async function tick(afterMs: number, stores: readonly StoreState[], images: readonly ImageState[] = []): Promise<void> {
  monotonic = afterMs;
  await history.append({ atMs: T0 + afterMs, stores, images });
}

const at = (ms: number): string => new Date(T0 + ms).toISOString();

describe('samples of a store', () => {
  it('are given back as they were, in order of time, also after a restart', async () => {
    await tick(0, [aStore(500)]);
    await tick(MINUTE, [aStore(400), aStore(1, 'other')]);
    const expected = [
      { at: at(0), size: 1000, available: 500, allocation: 500, commitment: 5000, residual: null, reserved: 7 },
      { at: at(MINUTE), size: 1000, available: 400, allocation: 600, commitment: 5000, residual: null, reserved: 7 },
    ];
    const query = { fromMs: T0, toMs: T0 + DAY, points: 1000 };
    expect(history.storeSamples('store', query)).toEqual(expected);
    await reopen();
    expect(history.storeSamples('store', query)).toEqual(expected);
    expect(history.storeSamples('nobody', query)).toEqual([]);
  });

  it('keep their least and most available space through thinning and downsampling', async () => {
    for (let minute = 0; minute < 3 * 24 * 60; minute += 10) {
      const available = minute === 1230 ? 3 : minute === 2340 ? 997 : 500 + (minute % 7);
      await tick(minute * MINUTE, [aStore(available)]);
    }
    for (const points of [12, 50, 200]) {
      for (const fromMs of [T0, T0 - 30 * DAY, T0 - 300 * DAY]) {
        const samples = history.storeSamples('store', { fromMs, toMs: T0 + 3 * DAY, points });
        const available = samples.map((one) => one.available);
        expect(samples.length).toBeLessThanOrEqual(points);
        expect([Math.min(...available), Math.max(...available)]).toEqual([3, 997]);
        expect(samples.map((one) => one.at)).toEqual(samples.map((one) => one.at).sort());
      }
    }
    expect(
      history
        .storeSamples('store', { fromMs: T0 - 300 * DAY, toMs: T0 + 3 * DAY, points: 200 })
        .some((one) => one.at === at(1230 * MINUTE)),
    ).toBe(true);
  });

  it('give points for a forecast', async () => {
    await tick(0, [aStore(500)]);
    await tick(HOUR, [aStore(400)]);
    const { allocation, available } = history.storePoints('store', T0);
    expect([allocation.at(-1), available.at(-1)]).toEqual([
      { atMs: T0 + HOUR, bytes: 600 },
      { atMs: T0 + HOUR, bytes: 400 },
    ]);
  });

  it('give a point a minute where the history is young, however far back is asked, also after a restart', async () => {
    for (let minute = 0; minute < 30; minute += 1) await tick(minute * MINUTE, [aStore(500)]);
    await reopen();
    expect(history.storePoints('store', T0 - 7 * DAY).available).toHaveLength(30);
  });
});

describe('samples of an image', () => {
  it('are taken when it changed, or once an hour', async () => {
    for (let minute = 0; minute <= 180; minute += 10) await tick(minute * MINUTE, [], [anImage(minute === 70 ? 5 : 4)]);
    const samples = history.imageSamples('image', { fromMs: T0, toMs: T0 + DAY, points: 1000 });
    expect(samples.map((one) => [one.at, one.allocation])).toEqual([
      [at(0), 4],
      [at(60 * MINUTE), 4],
      [at(70 * MINUTE), 5],
      [at(80 * MINUTE), 4],
      [at(120 * MINUTE), 4],
      [at(180 * MINUTE), 4],
    ]);
    expect(samples[0]).toEqual({ at: at(0), length: null, allocation: 4, commitment: 9000 });
  });

  it('reach back a year, and to the last tick', async () => {
    for (let day = 0; day <= 380; day += 1) await tick(day * DAY, [], [anImage(day)]);
    const samples = history.imageSamples('image', { fromMs: T0, toMs: T0 + 400 * DAY, points: 1000 });
    expect([samples.length, samples[0]?.allocation, samples.at(-1)?.allocation]).toEqual([381, 0, 380]);
  });

  it('come in bulk for forecasts, one store at a time, few for what rests, also after a restart', async () => {
    for (let hour = 0; hour < 100; hour += 1) {
      await tick(hour * HOUR, [], [anImage(hour, 'grows'), anImage(5, 'rests'), anImage(5, 'elsewhere', 'other')]);
    }
    const points = history.imagePoints('store', T0);
    expect([...points.keys()]).toEqual(['grows', 'rests']);
    expect(points.get('rests')).toEqual([
      { atMs: T0, bytes: 5 },
      { atMs: T0 + 99 * HOUR, bytes: 5 },
    ]);
    const grows = points.get('grows') ?? [];
    expect(grows.length).toBeLessThanOrEqual(65);
    expect(grows.every(({ atMs, bytes }) => atMs === T0 + bytes * HOUR)).toBe(true);
    expect([grows[0]?.bytes, grows.at(-1)?.bytes]).toEqual([0, 99]);
    await reopen();
    const again = history.imagePoints('store', T0).get('grows') ?? [];
    expect(again.every(({ atMs, bytes }) => atMs === T0 + bytes * HOUR)).toBe(true);
    expect([again.length > 20, again.at(-1)?.bytes]).toEqual([true, 99]);
  });

  it('go with the image when it is moved to another store', async () => {
    await tick(0, [], [anImage(1)]);
    await tick(HOUR, [], [anImage(2, 'image', 'other')]);
    expect([history.imagePoints('store', T0).size, history.imagePoints('other', T0).size]).toEqual([0, 1]);
  });
});

describe('a clock that jumps', () => {
  it('back: what lies ahead is neither shown nor lost nor counted', async () => {
    for (let minute = 0; minute < 30; minute += 1) await tick(minute * MINUTE, [aStore(500)], [anImage(minute)]);
    monotonic += MINUTE;
    await history.append({ atMs: T0 + 10 * MINUTE, stores: [aStore(100)], images: [anImage(77)] });
    const query = { fromMs: T0, toMs: T0 + DAY, points: 1000 };
    const shown = history.storeSamples('store', query);
    expect([shown.length, shown.at(-1)?.at, shown.at(-1)?.available]).toEqual([11, at(10 * MINUTE), 100]);
    expect(history.storePoints('store', T0).available.at(-1)?.bytes).toBe(100);
    expect(history.imagePoints('store', T0).get('image')?.at(-1)).toEqual({ atMs: T0 + 10 * MINUTE, bytes: 77 });
    // It was the jump that was wrong.
    monotonic += MINUTE;
    await history.append({ atMs: T0 + 40 * MINUTE, stores: [aStore(300)], images: [] });
    expect(history.storeSamples('store', query).length).toBe(31);
  });

  it('ahead: nothing is deleted until it has gone evenly for an hour', async () => {
    await tick(0, [aStore(500)]);
    monotonic = 2 * HOUR;
    await history.append({ atMs: T0 + 2000 * DAY, stores: [aStore(1)], images: [] });
    expect(await history.compact(T0 + 2000 * DAY)).toBe(0);
    monotonic += HOUR;
    await history.append({ atMs: T0 + 2000 * DAY + HOUR, stores: [aStore(1)], images: [] });
    expect(await history.compact(T0 + 2000 * DAY + HOUR)).toBeGreaterThan(0);
  });
});

describe('compact()', () => {
  it('leaves each grid its time, and forgets what was not seen for the retention', async () => {
    await tick(0, [aStore(500)], [anImage(5, 'old')]);
    for (let day = 1; day <= 420; day += 1) await tick(day * DAY, [aStore(day)], [anImage(day)]);
    const now = T0 + 420 * DAY;
    expect(await history.compact(now)).toBeGreaterThan(500);
    expect(await history.compact(now)).toBe(0);
    const all = history.storeSamples('store', { fromMs: T0, toMs: now, points: 10_000 });
    expect([all.length, all[0]?.available]).toEqual([401, 20]);
    expect(history.imagePoints('store', T0).has('old')).toBe(false);
    expect(history.imageSamples('old', { fromMs: T0, toMs: now, points: 10 })).toEqual([]);
  });

  it('deletes in pieces between which others get their turn', async () => {
    const images = Array.from({ length: 3000 }, (_, index) => anImage(index, `image-${index}`));
    await tick(0, [], images);
    await tick(3 * DAY, [], images.slice(0, 1));
    let turns = 0;
    let isOver = false;
    const takeTurn = (): void => {
      turns += 1;
      if (!isOver) setImmediate(takeTurn);
    };
    setImmediate(takeTurn);
    expect(await history.compact(T0 + 3 * DAY)).toBe(3000);
    isOver = true;
    expect(turns).toBeGreaterThan(1);
  });
});

describe('a history that is damaged', () => {
  it('is kept aside and begun anew, with a finding', async () => {
    await tick(0, [aStore(500)]);
    history.close();
    writeFileSync(join(directory, 'history.db'), 'no database');
    history = await open();
    expect(history.findings()).toEqual([expect.objectContaining({ level: 'critical', code: 'HISTORY_REBUILT' })]);
    expect(readdirSync(directory).some((name) => name.startsWith('history.db.corrupt-'))).toBe(true);
    await tick(MINUTE, [aStore(400)]);
    expect(history.storeSamples('store', { fromMs: T0, toMs: T0 + DAY, points: 10 }).length).toBe(1);
  });

  it('while in use goes on with new series', async () => {
    await tick(0, [aStore(500)], [anImage(1)]);
    rmSync(join(directory, 'history.db'));
    await tick(MINUTE, [aStore(400)], [anImage(2)]);
    expect(history.findings()).toEqual([expect.objectContaining({ code: 'HISTORY_REBUILT' })]);
    await tick(2 * MINUTE, [aStore(300)], [anImage(3)]);
    await reopen();
    const query = { fromMs: T0, toMs: T0 + DAY, points: 10 };
    expect(history.storeSamples('store', query).map((one) => one.available)).toEqual([400, 300]);
    expect(history.imageSamples('image', query).length).toBeGreaterThan(0);
  });
});

describe.runIf(canMount('a full disk under the history'))('a full disk under the history', () => {
  it('is a finding; nothing written is lost, and it goes on when there is space again', async () => {
    await using mount = await withFilesystem('tmpfs', 2 ** 20);
    const full = await History.open(join(mount.path, 'state', 'history.db'), { monotonicMs: () => monotonic });
    const images = (allocation: number): ImageState[] => Array.from({ length: 500 }, (_, index) => anImage(allocation, `image-${index}`));
    await full.append({ atMs: T0, stores: [aStore(500)], images: images(1) });
    writeFileSync(join(mount.path, 'filler'), Buffer.alloc(2 ** 19));
    let minute = 0;
    while (full.findings().length === 0 && minute < 1000) {
      minute += 10;
      monotonic = minute * MINUTE;
      await full.append({ atMs: T0 + monotonic, stores: [aStore(minute)], images: images(minute) });
    }
    expect(full.findings()).toEqual([expect.objectContaining({ level: 'warning', code: 'HISTORY_UNWRITABLE' })]);
    rmSync(join(mount.path, 'filler'));
    monotonic += MINUTE;
    await full.append({ atMs: T0 + monotonic, stores: [aStore(1)], images: images(3) });
    expect(full.findings()).toEqual([]);
    expect(full.storeSamples('store', { fromMs: T0, toMs: T0 + DAY, points: 1000 }).map((one) => one.available)).toEqual(
      expect.arrayContaining([500, 10, 1]),
    );
    full.close();
  });
});

describe('a store with a new id', () => {
  const query = { fromMs: T0, toMs: T0 + DAY, points: 100 };
  const adopt = (sinceMs: number): void => history.adopt('dev:0:45', 'mount:a', [['old-image', 'new-image']], sinceMs);
  beforeEach(async () => {
    await tick(0, [aStore(500, 'dev:0:45')], [anImage(100, 'old-image', 'dev:0:45')]);
    await tick(HOUR, [aStore(400, 'dev:0:45')], [anImage(200, 'old-image', 'dev:0:45')]);
  });

  it('has the samples of its former one, and its images those of theirs', async () => {
    adopt(T0);
    await tick(2 * HOUR, [aStore(300, 'mount:a')], [anImage(300, 'new-image', 'mount:a')]);
    for (let pass = 0; pass < 2; pass += 1) {
      expect(history.storeSamples('mount:a', query).map(({ available }) => available)).toEqual([500, 400, 300]);
      expect(history.imageSamples('new-image', query).map(({ allocation }) => allocation)).toEqual([100, 200, 300]);
      expect(history.storeSamples('dev:0:45', query)).toEqual([]);
      await reopen();
    }
    expect(history.pointsOf('mount:a', 'new-image', T0).length).toBeGreaterThan(1);
  });

  it('gets nothing where the last sample is older than the boot', () => {
    adopt(T0 + 2 * HOUR);
    expect(history.storeSamples('mount:a', query)).toEqual([]);
    expect(history.storeSamples('dev:0:45', query)).toHaveLength(2);
  });

  it('keeps its own samples where it has some', async () => {
    await tick(2 * HOUR, [aStore(300, 'mount:a')]);
    adopt(T0);
    expect(history.storeSamples('mount:a', query)).toHaveLength(1);
  });
});
