import stringWidth from 'string-width';
import { describe, expect, it } from 'vitest';
import { anUnreadableImage, aScan, aScannedImage, aStore } from '../../../tests/support/reports.ts';
import { commonDirectory } from './image-table.ts';
import { scanLines, storeLines } from './store.ts';
import { plainTheme } from './theme.ts';
import { verdict } from './verdict.ts';

const GiB = 2 ** 30;
const ALL = { limit: Number.POSITIVE_INFINITY };
const unread = (path: string) => ({ ...aScannedImage(), ...anUnreadableImage(path), exclusive: null, shared: null });

describe('storeLines()', () => {
  it('shows sums, verdict and table', () => {
    const small = aScannedImage({
      path: '/srv/vm/small.raw',
      format: 'raw',
      formatSource: 'guess',
      allocation: 4096,
      commitment: GiB / 2,
      residual: GiB / 2,
    });
    expect(storeLines(aStore({ images: [aScannedImage(), small], shared: GiB, floor: 10 * GiB }), plainTheme(), ALL)).toEqual([
      'Store /srv/vm (ext4), 2 images',
      '  size             500 GiB       536,870,912,000',
      '  used             300 GiB       322,122,547,200  by everything on this store',
      '  available        200 GiB       214,748,364,800',
      '  allocation       196 KiB               200,704  all images, shared blocks once',
      '  commitment     40.01 GiB        42,956,451,840  maximum they can ever use',
      '  residual       40.01 GiB        42,956,251,136  worst-case further growth',
      '  shared             1 GiB         1,073,741,824  by more than one file',
      '  floor             10 GiB        10,737,418,240  must remain free',
      '  headroom      159.99 GiB       171,792,113,664  available - residual - floor',
      '',
      'Every future guest write fits, with 159.99 GiB remaining and 10 GiB kept free.',
      '',
      '  IMAGE      FORMAT  ALLOCATION  COMMITMENT   RESIDUAL',
      '  web.qcow2   qcow2     196 KiB   40.01 GiB  40.01 GiB',
      '  small.raw    raw?       4 KiB     512 MiB    512 MiB',
    ]);
  });

  it('shows a kind of finding once, for any number of images', () => {
    const finding = { level: 'warning', code: 'SNAPSHOTS', message: 'Internal snapshots inside.' } as const;
    const images = ['a', 'b', 'c'].map((name) => aScannedImage({ path: `/srv/vm/${name}`, findings: [finding] }));
    const lines = storeLines(aStore({ images }), plainTheme(), ALL);
    expect(lines.slice(-2)).toEqual([
      '  warning   /srv/vm/a: Internal snapshots inside. [SNAPSHOTS] (and 2 more images',
      '            like it; --json lists them)',
    ]);
  });

  it('shows a kind of failure once, and every failed image in the table', () => {
    const lines = storeLines(
      aStore({
        fits: null,
        headroom: null,
        residual: null,
        commitment: null,
        images: [
          unread('/srv/vm/x'),
          unread('/srv/vm/y'),
          { ...unread('/srv/vm/z'), error: { kind: 'corrupt', code: 'QCOW2_MAGIC', message: 'No magic' } },
          aScannedImage(),
        ],
      }),
      plainTheme(),
      ALL,
    ).join('\n');
    expect(lines).toContain('Unknown whether every future guest write fits: 3 images could not be read.');
    expect(lines).toContain(
      'CRITICAL  /srv/vm/x: Cannot open file: permission denied [IO_EACCES] (and 1\n            more image like it; --json lists them)',
    );
    expect(lines).not.toContain('/srv/vm/y:');
    expect(lines).toContain('CRITICAL  /srv/vm/z: No magic [QCOW2_MAGIC]');
    expect(lines).toMatch(/x +\? +\? +\? +\?\n {2}y +\? +\? +\? +\?\n {2}z .*\n {2}web.qcow2/);
  });

  it('shows a headroom with unknown parts as an upper bound', () => {
    const lines = storeLines(aStore({ fits: false, residual: null, commitment: null, headroom: -3 * GiB }), plainTheme(), ALL);
    expect(lines).toContain('  residual         unknown                        worst-case further growth');
    expect(lines).toContain('  headroom          -3 GiB        -3,221,225,472  at most: some figures unknown');
  });

  it('reports how many rows a limit hides', () => {
    const images = ['a', 'b', 'c'].map((path) => aScannedImage({ path }));
    expect(storeLines(aStore({ images }), plainTheme(), { limit: 1 })).toContain('  ... and 2 more');
  });

  it('shows an empty store', () => {
    const lines = storeLines(aStore({ images: [] }), plainTheme(), ALL);
    expect(lines[0]).toBe('Store /srv/vm (ext4), 0 images');
    expect(lines.at(-1)).toMatch(/^Every future guest write fits/);
  });

  it('keeps to 80 columns with long, wide and hostile names and with huge figures', () => {
    const huge = 9_007_199_254_740_991;
    const names = ['x'.repeat(300), '図'.repeat(200), '\u001b[31m\n'.repeat(40), 'ok'];
    const images = names.map((name) =>
      aScannedImage({ path: `/srv/vm/${name}`, capacity: huge, allocation: 1023.99 * GiB, commitment: huge, residual: 1023.99 * GiB }),
    );
    const lines = storeLines(aStore({ images, size: huge, used: huge, available: huge, headroom: -huge, fits: false }), plainTheme(), ALL);
    for (const line of lines) {
      expect(stringWidth(line)).toBeLessThanOrEqual(80);
      // oxlint-disable-next-line no-control-regex
      expect(line).not.toMatch(/[\u0000-\u001f]/);
    }
    expect(lines.some((line) => line.includes('…'))).toBe(true);
  });

  it.each([40, 50, 60, 70])('fits %i columns', (width) => {
    const images = ['x'.repeat(100), 'ok'].map((name) => aScannedImage({ path: `/srv/vm/${name}`, allocation: 1023.99 * GiB }));
    const lines = storeLines(aStore({ images, floor: GiB, shared: GiB }), plainTheme(width), ALL);
    for (const line of lines) expect(stringWidth(line), line).toBeLessThanOrEqual(width);
    expect(lines.find((line) => line.startsWith('  IMAGE'))).toMatch(/RESIDUAL$/);
  });

  it('adds columns on a wider terminal and still fits it', () => {
    const lines = storeLines(aStore(), plainTheme(130), ALL);
    expect(lines.some((line) => /CAPACITY.*ALLOCATION.*EXCLUSIVE/.test(line))).toBe(true);
    for (const line of lines) expect(stringWidth(line)).toBeLessThanOrEqual(130);
  });
});

describe('the images of a store', () => {
  it('are shown in the order of the report, by risk', () => {
    const images = ['b', 'a', 'c'].map((path, index) => aScannedImage({ path: `/srv/${path}`, residual: index }));
    const rows = storeLines(aStore({ images }), plainTheme(), ALL).filter((line) => /^ {2}[abc] /.test(line));
    expect(rows.map((line) => line.trim()[0])).toEqual(['b', 'a', 'c']);
  });
});

describe('commonDirectory()', () => {
  it.each([
    [['/a/b/x', '/a/b/y'], '/a/b/'],
    [['/a/b/x', '/a/bc/y'], '/a/'],
    [['/a/x', '/b/x'], ''],
    [['relative', '/b/x'], ''],
    [['/b/x', 'relative/x'], ''],
    [['/b/c/x', '/b/x'], '/b/'],
    [['dir/x', 'dir/deeper/y'], 'dir/'],
    [['/x'], ''],
    [[], ''],
  ])('of %j is %j', (paths, expected) => expect(commonDirectory(paths.map((path) => aScannedImage({ path })))).toBe(expected));
});

describe('verdict()', () => {
  it.each([
    [aStore({ headroom: 12 * GiB }), 'Every future guest write fits, with 12 GiB remaining.'],
    [aStore({ fits: false, headroom: -3 * GiB }), 'NOT every future guest write fits: overcommitted by 3 GiB.'],
    [
      aStore({ fits: false, headroom: -GiB, floor: 2 * GiB }),
      'NOT every future guest write fits: overcommitted by 1 GiB, with 2 GiB kept free.',
    ],
    [
      aStore({ fits: false, images: [unread('/x')], headroom: -3 * GiB, residual: null }),
      'NOT every future guest write fits: overcommitted by at least 3 GiB.',
    ],
    [
      aStore({ fits: false, headroom: -GiB, findings: [{ level: 'critical', code: 'DIRECTORY_UNREADABLE', message: 'x' }] }),
      'NOT every future guest write fits: overcommitted by at least 1 GiB.',
    ],
    [
      aStore({ fits: null, images: [unread('/x')], headroom: 5 * GiB }),
      'Unknown whether every future guest write fits: 1 image could not be read; the known figures leave 5 GiB of headroom.',
    ],
    [
      aStore({ fits: null, images: [aScannedImage({ commitment: null })], headroom: null }),
      'Unknown whether every future guest write fits: the commitment of 1 image is unknown.',
    ],
    [aStore({ fits: null, images: [], headroom: null }), 'Unknown whether every future guest write fits: see the findings below.'],
  ])('%#', (store, text) => expect(verdict(store).text).toBe(text));
});

describe('scanLines()', () => {
  it('separates stores, and ends with the errors outside of all stores', () => {
    const error = {
      kind: 'not-found',
      code: 'IO_ENOENT',
      message: 'Cannot read directory: no such file or directory',
      path: '/no\u001bwhere',
    } as const;
    const lines = scanLines(aScan([aStore({ images: [] }), aStore({ images: [], mount: '/other' })], [error]), plainTheme(), ALL);
    expect(lines.filter((line) => line.startsWith('Store '))).toEqual(['Store /srv/vm (ext4), 0 images', 'Store /other (ext4), 0 images']);
    expect(lines.at(-1)).toBe('  /no\\x1bwhere: Cannot read directory: no such file or directory');
  });
});
