import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { DEFINITIONS } from '#wire';
import { readExposition, valuesOf } from '../../tests/support/exposition.ts';
import { A_HOST } from '../../tests/support/host.ts';
import { aForecast, anImageView, anOutlook, aStoreView, aService, type ServiceParts } from '../../tests/support/service.ts';
import { MAX_LABEL_CHARACTERS, MAX_METRIC_IMAGES, METRICS_CONTENT_TYPE, metricsChunks, metricsText } from './metrics.ts';

const GiB = 2 ** 30;
const STORE = 'uuid:0f1e2d3c';
const read = async (things?: ServiceParts): Promise<ReturnType<typeof readExposition>> =>
  readExposition(await metricsText(aService(things)));

const HOSTILE = [
  '/srv/vm/"quoted".qcow2',
  '/srv/vm/back\\slash\\n.qcow2',
  '/srv/vm/new\nline 1\n# HELP fake fake\nfake 1.qcow2',
  '/srv/vm/esc\u001b[31m\r\u0000\u007f.qcow2',
  '/srv/vm/\u202etxt.\u2028ü漢🐚.qcow2',
  '/srv/vm/not utf-8 \ufffd\ufffd.qcow2',
  '/srv/vm/lone \ud83d surrogate.qcow2',
  '/srv/vm/} 1',
  '',
];
const hostileImages = HOSTILE.map((path, index) => anImageView({ path, id: `i${index}` }));

describe('metricsText()', () => {
  it('tells the figures of a store, labelled by what it is and where it is mounted', async () => {
    const families = await read();
    const sizes = Object.fromEntries(
      ['size', 'available', 'allocation', 'commitment', 'residual', 'reserved', 'shared', 'headroom', 'floor'].map((figure) => [
        figure,
        families.get(`plimsoll_store_${figure}_bytes`)?.samples.map(({ labels, value }) => [labels, value / GiB]),
      ]),
    );
    const labels = { store: STORE, mount: '/srv/vm' };
    const expected = {
      size: 100,
      available: 45,
      allocation: 40,
      commitment: 60,
      residual: 20,
      reserved: 4,
      shared: 3,
      headroom: 20,
      floor: 1,
    };
    expect(sizes).toEqual(Object.fromEntries(Object.entries(expected).map(([figure, value]) => [figure, [[labels, value]]])));
    expect(valuesOf(families, 'plimsoll_store_images')).toEqual({ '': 2 });
    expect(valuesOf(families, 'plimsoll_store_unreadable_images')).toEqual({ '': 0 });
    expect(valuesOf(families, 'plimsoll_store_present')).toEqual({ '': 1 });
    expect(valuesOf(families, 'plimsoll_store_last_scan_timestamp_seconds')).toEqual({ '': Date.UTC(2026, 6, 1, 12) / 1000 + 0.5 });
    expect(valuesOf(families, 'plimsoll_store_last_scan_duration_seconds')).toEqual({ '': 1.25 });
  });

  it('tells the figures of an image, labelled by store, path and machine', async () => {
    const families = await read({ images: [anImageView({ machine: 'web' }), anImageView({ path: '/srv/vm/off.qcow2', id: 'i2' })] });
    const values = Object.fromEntries(
      ['capacity', 'length', 'allocation', 'commitment', 'residual', 'exclusive'].map((figure) => [
        figure,
        valuesOf(families, `plimsoll_image_${figure}_bytes`, 'store', 'path', 'domain'),
      ]),
    );
    const both = (value: number): object => ({ [`${STORE} /srv/vm/web.qcow2 web`]: value, [`${STORE} /srv/vm/off.qcow2 `]: value });
    expect(values).toEqual({
      capacity: both(40 * GiB),
      length: both(197_248),
      allocation: both(200_704),
      commitment: both(42_956_451_840),
      residual: both(42_956_251_136),
      exclusive: both(200_704),
    });
    expect(families.get('plimsoll_image_length_bytes')?.samples[1]?.labels).not.toHaveProperty('domain');
  });

  it('says what each figure means, in the words of all other reports', async () => {
    const families = await read({ images: [anImageView()] });
    for (const figure of ['capacity', 'length', 'allocation', 'commitment', 'residual', 'exclusive'] as const) {
      expect(families.get(`plimsoll_image_${figure}_bytes`)?.help).toBe(DEFINITIONS[figure]);
    }
    for (const figure of ['allocation', 'commitment', 'residual', 'headroom'] as const) {
      expect(families.get(`plimsoll_store_${figure}_bytes`)?.help).toContain(DEFINITIONS[figure]);
    }
  });

  it('leaves out what is not known, and keeps a zero', async () => {
    const images = [anImageView({ commitment: null, residual: 0, exclusive: null })];
    const families = await read({
      stores: [aStoreView({ commitment: null, residual: null, headroom: null, reserved: 0, scanSeconds: null })],
      images,
    });
    for (const name of ['store_commitment_bytes', 'store_residual_bytes', 'store_headroom_bytes', 'store_last_scan_duration_seconds']) {
      expect(families.has(`plimsoll_${name}`), name).toBe(false);
    }
    expect([families.has('plimsoll_image_commitment_bytes'), families.has('plimsoll_image_exclusive_bytes')]).toEqual([false, false]);
    expect(valuesOf(families, 'plimsoll_image_residual_bytes')).toEqual({ '': 0 });
    expect(valuesOf(families, 'plimsoll_store_reserved_bytes')).toEqual({ '': 0 });
  });

  it.each([
    [anOutlook({ earliest: 60, latest: 120 }), { earliest: 60, latest: 120 }],
    [anOutlook({ earliest: 60, latest: null }), { earliest: 60, latest: Infinity }],
    [anOutlook({ outcome: 'reached', earliest: null, latest: null }), { earliest: 0, latest: 0 }],
    [anOutlook({ outcome: 'never', earliest: null, latest: null }), { earliest: Infinity, latest: Infinity }],
    [anOutlook({ outcome: 'unknown', earliest: null, latest: null, reason: 'no history' }), {}],
  ])('tells of the time to full %j: %j', async (toFull, expected) => {
    expect(
      valuesOf(await read({ stores: [aStoreView({ forecast: aForecast(toFull) })] }), 'plimsoll_store_seconds_to_full', 'bound'),
    ).toEqual(expected);
  });

  it.each(['ok', 'warning', 'critical', 'unknown'] as const)('has 1 for the level %s only', async (level) => {
    const expected = { ok: 0, warning: 0, critical: 0, unknown: 0, [level]: 1 };
    expect(valuesOf(await read({ stores: [aStoreView({ level })] }), 'plimsoll_store_level', 'level')).toEqual(expected);
  });

  it.each([
    ['has vanished', { presence: 'vanished' } as const],
    ['was never scanned', { scannedAt: null, scanSeconds: null }],
  ])('tells nothing of what lies on a store that %s, but what is promised', async (_, changes) => {
    const stores = [aStoreView(changes), aStoreView({ id: 'uuid:other', mount: '/other' })];
    const families = await read({ stores, images: [anImageView()] });
    const known = [...families].filter(([, { samples }]) => samples.some(({ labels }) => labels['store'] === STORE)).map(([name]) => name);
    expect(known).toEqual([
      'plimsoll_store_present',
      'plimsoll_store_reserved_bytes',
      'plimsoll_store_floor_bytes',
      'plimsoll_store_level',
      ...('presence' in changes ? ['plimsoll_store_last_scan_timestamp_seconds', 'plimsoll_store_last_scan_duration_seconds'] : []),
    ]);
    expect(valuesOf(families, 'plimsoll_store_size_bytes', 'store')).toEqual({ 'uuid:other': 100 * GiB });
  });

  it('counts the findings of the daemon, and tells its version', async () => {
    const families = await read({ findings: [{ level: 'critical', code: 'A', message: 'a' }], stores: [] });
    expect(valuesOf(families, 'plimsoll_findings', 'level')).toEqual({ info: 0, warning: 0, critical: 1 });
    expect(valuesOf(families, 'plimsoll_build_info', 'version', 'host')).toEqual({ [`1.2.3 ${A_HOST.id}`]: 1 });
    expect(valuesOf(families, 'plimsoll_start_timestamp_seconds')).toEqual({ '': Date.UTC(2026, 6, 1) / 1000 });
  });

  it('gets all images where a page holds few', async () => {
    const images = Array.from({ length: 10 }, (_, index) => anImageView({ path: `/${index}`, id: `i${index}` }));
    expect((await read({ images, pageLimit: 3 })).get('plimsoll_image_length_bytes')?.samples).toHaveLength(10);
  });

  it(`has samples of ${MAX_METRIC_IMAGES} images at most, and counts the others`, async () => {
    const images = Array.from({ length: MAX_METRIC_IMAGES + 5 }, (_, index) => anImageView({ path: `/${index}`, id: `i${index}` }));
    const families = await read({ images });
    expect(families.get('plimsoll_image_length_bytes')?.samples).toHaveLength(MAX_METRIC_IMAGES);
    expect(valuesOf(families, 'plimsoll_images_omitted')).toEqual({ '': 5 });
  });
});

describe('a name in the metrics', () => {
  it('can forge no line and no label, and comes out as it was where that can be shown', async () => {
    const samples = (await read({ images: hostileImages })).get('plimsoll_image_capacity_bytes')?.samples ?? [];
    expect(samples.map(({ labels }) => labels['path'])).toEqual([
      ...HOSTILE.slice(0, 3),
      '/srv/vm/esc\\x1b[31m\\x0d\\x00\\x7f.qcow2'.replace('\\x0d', '\\r'),
      '/srv/vm/\\u202etxt.\\u2028ü漢🐚.qcow2',
      '/srv/vm/not utf-8 \\ufffd\\ufffd.qcow2',
      '/srv/vm/lone \\ud83d surrogate.qcow2',
      '/srv/vm/} 1',
      '',
    ]);
  });

  it('leaves no control character in the text but its line ends', async () => {
    expect(await metricsText(aService({ images: hostileImages }))).not.toMatch(/[^\n\P{C}]/u);
  });

  it('that cannot be shown as it is, has the id of the image beside it: no two share their labels', async () => {
    const samples = (await read({ images: hostileImages })).get('plimsoll_image_capacity_bytes')?.samples ?? [];
    expect(samples.map(({ labels }) => labels['image'])).toEqual([
      ...Array(3).fill(undefined),
      'i3',
      'i4',
      'i5',
      'i6',
      undefined,
      undefined,
    ]);
    const alike = ['/a\ufffd', '/a\\ufffd', '/a\ufffd'].map((path, index) => anImageView({ path, id: `i${index}` }));
    expect((await read({ images: alike })).get('plimsoll_image_capacity_bytes')?.samples).toHaveLength(3);
  });

  it(`is cut after ${MAX_LABEL_CHARACTERS} characters`, async () => {
    const long = 'x'.repeat(MAX_LABEL_CHARACTERS);
    const images = [`/${long}a`, `/${long}b`].map((path, index) => anImageView({ path, id: `i${index}`, machine: `${long}c` }));
    const samples = (await read({ images })).get('plimsoll_image_capacity_bytes')?.samples ?? [];
    expect(samples.map(({ labels }) => [labels['path']?.length, labels['domain']?.length, labels['image']])).toEqual([
      [MAX_LABEL_CHARACTERS, MAX_LABEL_CHARACTERS, 'i0'],
      [MAX_LABEL_CHARACTERS, MAX_LABEL_CHARACTERS, 'i1'],
    ]);
  });

  it('of a mount or a store is escaped as well', async () => {
    const families = await read({ stores: [aStoreView({ mount: '/srv/"\n\\', id: 'dev:8:1' })] });
    expect(valuesOf(families, 'plimsoll_store_size_bytes', 'store', 'mount')).toEqual({ 'dev:8:1 /srv/"\n\\': 100 * GiB });
  });
});

describe('promtool', () => {
  it('finds nothing wrong with names, units, help and syntax', async () => {
    const { status, stderr, stdout } = spawnSync('promtool', ['check', 'metrics'], {
      input: await metricsText(aService({ images: hostileImages })),
      encoding: 'utf8',
    });
    expect([stdout, stderr, status]).toEqual(['', '', 0]);
  });

  it('would: a label that is not escaped', async () => {
    const text = (await metricsText(aService({ images: [anImageView({ path: 'X' })] }))).replace('path="X"', 'path="X"Y"');
    expect(spawnSync('promtool', ['check', 'metrics'], { input: text }).status).toBe(1);
  });
});

describe('metricsChunks()', () => {
  const images = Array.from({ length: 10_000 }, (_, index) =>
    anImageView({ path: `/srv/vm/vm-${index}.qcow2`, id: `i${index}`, machine: `vm-${index}` }),
  );

  it('gives the same text, and lets others run between its pieces', async () => {
    const service = aService({ images });
    let turns = 0;
    const counting = setInterval(() => (turns += 1), 0);
    const pieces: Buffer[] = [];
    for await (const piece of metricsChunks(service)) pieces.push(piece);
    clearInterval(counting);
    expect(Buffer.concat(pieces).toString()).toBe(await metricsText(service));
    expect(turns).toBeGreaterThan(3);
    expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThan(400_000);
  });

  it('has its content type', async () => {
    expect(METRICS_CONTENT_TYPE).toBe('text/plain; version=0.0.4; charset=utf-8');
  });
});
