/** The small pure parts: names, addresses, events, queries, forms, verdicts, trees. */
import { describe, expect, it } from 'vitest';
import type { ImageView, ServeEvent, StoreView } from '#wire';
import { type AdmissionFields, parseAdmission, parseReservation } from './admission-form.ts';
import { ChangeBuffer } from './coalesce.ts';
import { EventStreamReader } from './event-stream.ts';
import { ariaSort, describePage, imageListPath, type ImageListQuery, sortedBy } from './image-query.ts';
import { namePieces, splitPath } from './names.ts';
import { hrefOf, type Route, routeOf } from './route.ts';
import { treeOf } from './tree.ts';
import { worstFirst, headline, verdictOf } from './verdict.ts';

describe('namePieces()', () => {
  it.each([
    ['web.qcow2', [['web.qcow2', false]]],
    [
      'a\nb',
      [
        ['a', false],
        ['\\n', true],
        ['b', false],
      ],
    ],
    [
      '\u001b[31m',
      [
        ['\\x1b', true],
        ['[31m', false],
      ],
    ],
    [
      'x\u202ey',
      [
        ['x', false],
        ['\\u202e', true],
        ['y', false],
      ],
    ],
    [
      'bad\udc80',
      [
        ['bad', false],
        ['\\udc80', true],
      ],
    ],
    ['😀<b>', [['😀<b>', false]]],
    ['', []],
  ] as const)('of %j', (name, expected) => {
    expect(namePieces(name).map(({ text, isEscape }) => [text, isEscape])).toEqual(expected);
  });
});

it('splitPath() keeps the slash with the folder', () => {
  expect([splitPath('/srv/vm/a'), splitPath('a')]).toEqual([
    { folder: '/srv/vm/', name: 'a' },
    { folder: '', name: 'a' },
  ]);
});

describe('an address', () => {
  it.each<Route>([
    { page: 'stores' },
    { page: 'store', id: 'uuid:a/b#?%' },
    { page: 'image', id: 'ä\n' },
    { page: 'images', search: '' },
    { page: 'images', search: 'a/b' },
    { page: 'find', store: '', path: '/srv/vm/a b' },
    { page: 'admission', store: 'x' },
    { page: 'admission', store: '' },
    { page: 'reservations' },
    { page: 'alerts' },
  ])('leads back to %j', (route) => {
    expect(routeOf(hrefOf(route))).toEqual(route);
  });

  it.each(['#/store/', '#/bogus', '#/image', '#/find/x'])('%s has no page', (hash) => {
    expect(routeOf(hash)).toEqual({ page: 'nowhere' });
  });

  it('accepts broken escapes and names that are not valid Unicode', () => {
    expect(routeOf('#/store/%E0%A4%A')).toEqual({ page: 'store', id: '%E0%A4%A' });
    expect(hrefOf({ page: 'find', store: '', path: 'a\ud800' })).toBe('#/find//a%EF%BF%BD');
  });
});

describe('EventStreamReader', () => {
  const read = (...pieces: string[]): unknown[] => {
    const reader = new EventStreamReader();
    return pieces.flatMap((piece) => reader.push(piece)).map(({ type, data }) => [type, data]);
  };
  it.each([
    ['one event', ['event: store\ndata: {}\n\n'], [['store', '{}']]],
    ['an event in pieces', ['eve', 'nt: a\nda', 'ta: 1\n', '\n'], [['a', '1']]],
    [
      'line ends of all kinds',
      ['data: 1\r\n\r\ndata: 2\r\rdata: 3\n\n'],
      [
        ['message', '1'],
        ['message', '2'],
        ['message', '3'],
      ],
    ],
    ['a line end cut in two', ['data: 1\r', '\n\r', '\n'], [['message', '1']]],
    ['data of several lines', ['data: 1\ndata: 2\n\n'], [['message', '1\n2']]],
    ['comments and events without data', [': ping\n\nevent: x\n\nid: 7\nretry: 1\n\n'], []],
    ['an event that has not ended', ['data: 1\n'], []],
  ])('reads %s', (_name, pieces, expected) => {
    expect(read(...pieces)).toEqual(expected);
  });
});

describe('ChangeBuffer', () => {
  const store = (id: string, size: number): ServeEvent => ({ type: 'store', host: null, store: { id, size } as StoreView });
  const image = (id: string): ServeEvent => ({ type: 'image', host: null, image: { id } as ImageView });

  it('keeps only the last of many changes, and is empty once taken', () => {
    const buffer = new ChangeBuffer();
    for (let size = 0; size < 50; size++) buffer.add(store('a', size));
    expect([...buffer.take().stores.values()]).toEqual([{ id: 'a', size: 49 }]);
    expect(buffer.take().stores.size).toBe(0);
  });

  it('an image that disappeared and returned is present', () => {
    const buffer = new ChangeBuffer();
    buffer.add(image('a'));
    buffer.add({ type: 'image-gone', host: null, store: 's', id: 'a', path: '/a' });
    expect(buffer.take()).toMatchObject({ images: new Map(), gone: new Set(['a']) });
    buffer.add({ type: 'image-gone', host: null, store: 's', id: 'a', path: '/a' });
    buffer.add(image('a'));
    expect(buffer.take()).toMatchObject({ images: new Map([['a', { id: 'a' }]]), gone: new Set() });
  });

  it('has a bounded size between two frames', () => {
    const buffer = new ChangeBuffer();
    for (let index = 0; index < 5000; index++) buffer.add(image(`i${index}`));
    const { images, isFlooded } = buffer.take();
    expect([isFlooded, images.size <= 1000]).toEqual([true, true]);
  });
});

describe('a query for images', () => {
  const query: ImageListQuery = { store: '', search: '', sort: 'risk', descending: true, offset: 100, limit: 50 };

  it('starts over when the order changes: largest first, names from A, and reversed the second time', () => {
    expect(sortedBy(query, 'path')).toMatchObject({ sort: 'path', descending: false, offset: 0 });
    expect(sortedBy(query, 'residual')).toMatchObject({ sort: 'residual', descending: true });
    expect(sortedBy(query, 'risk')).toMatchObject({ sort: 'risk', descending: false });
    expect([ariaSort(query, 'risk'), ariaSort(query, 'path')]).toEqual(['descending', 'none']);
  });

  it('becomes an address', () => {
    expect(imageListPath(query)).toBe('images?sort=risk&descending=true&offset=100&limit=50');
    expect(imageListPath({ ...query, store: 'uuid:a', search: 'a&b' })).toContain('&store=uuid%3Aa&search=a%26b');
  });

  it('is described in words', () => {
    expect([describePage(0, 0, 0), describePage(50, 50, 10_000)]).toEqual(['none', '51–100 of 10,000']);
  });
});

describe('the admission form', () => {
  const fields: AdmissionFields = { store: 's', format: 'qcow2', size: '40G', options: '', policy: '', idleShare: '20' };

  it('becomes a request', () => {
    expect(parseAdmission(fields)).toEqual({ request: { store: 's', image: { format: 'qcow2', capacity: 40 * 1024 ** 3 } } });
    expect(parseAdmission({ ...fields, format: 'raw', options: ' preallocation=full ', policy: 'entitled' })).toEqual({
      request: {
        store: 's',
        image: { format: 'raw', capacity: 40 * 1024 ** 3, options: 'preallocation=full' },
        policy: 'entitled',
        idleShare: 0.2,
      },
    });
  });

  it.each([
    [{ store: '' }, 'store', /Choose/],
    [{ size: '' }, 'size', /such as 40G/],
    [{ size: '0' }, 'size', /above 0/],
    [{ size: '40 GB' }, 'size', /1000 or 1024/],
    [{ size: 'lots' }, 'size', /Cannot parse the size/],
    [{ policy: 'entitled', idleShare: '120' }, 'idleShare', /between 0 and 100/],
    [{ policy: 'entitled', idleShare: '' }, 'idleShare', /between 0 and 100/],
  ] as const)('with %j reports %s: %s', (change, field, message) => {
    const parsed = parseAdmission({ ...fields, ...change });
    expect('wrong' in parsed ? parsed.wrong[field] : undefined).toMatch(message);
  });

  it('becomes a reservation with a key and a lifetime, or reports the missing fields', () => {
    const asked = { store: 's', bytes: 1 };
    expect(parseReservation(asked, { key: 'k', ttl: '15m', path: '', overcommit: false })).toEqual({
      request: { ...asked, key: 'k', ttlSeconds: 900 },
    });
    expect(parseReservation(asked, { key: ' ', ttl: 'soon', path: 'a', overcommit: true })).toEqual({
      wrong: { key: expect.any(String), ttl: expect.any(String), path: expect.any(String) },
    });
  });
});

describe('verdictOf()', () => {
  const store = (left: number | null, more: object = {}): StoreView =>
    ({
      mount: '/m',
      size: 1000,
      presence: 'present',
      level: 'ok',
      sum: { policy: 'promise', remaining: left, unknown: left === null ? 'why' : null },
      ...more,
    }) as unknown as StoreView;

  it.each([
    [store(5), 'ok', 'Fits', /^5 B remaining; every future guest write fits\.$/],
    [store(0), 'ok', 'Fits', /^0 B remaining/],
    [store(-5), 'danger', 'Overcommitted', /^Overcommitted by 5 B\. Not every future guest write fits\.$/],
    [store(null, { level: 'unknown' }), 'unknown', 'Unknown', /^Fit unknown: why\.$/],
    [store(5, { sum: { policy: 'promise', remaining: 5, unknown: 'Why.' } }), 'unknown', 'Unknown', /^Fit unknown: why\.$/],
    [store(5, { level: 'unknown' }), 'unknown', 'Fits now', /every future guest write fits/],
    [store(5, { level: 'warning' }), 'warning', 'Warning', /remaining/],
    [store(5, { level: 'critical' }), 'danger', 'Critical', /remaining/],
    [store(5, { presence: 'vanished' }), 'danger', 'Disappeared', /has disappeared/],
  ] as const)('%#: %s is %s', (one, tone, word, sentence) => {
    expect(verdictOf(one)).toMatchObject({ tone, word, sentence: expect.stringMatching(sentence) });
  });

  it('sorts the worst first, and summarizes the page accordingly', () => {
    const all = [store(5), store(null, { level: 'unknown' }), store(-5), store(9, { level: 'warning' })];
    expect(all.sort(worstFirst).map((one) => verdictOf(one).tone)).toEqual(['danger', 'warning', 'unknown', 'ok']);
    expect(headline(all)).toBe('1 of 4 stores is in critical state');
    expect([headline([]), headline([store(1)]), headline([store(1), store(2)])]).toEqual([
      'No store is monitored',
      'The store is not overcommitted',
      'None of the 2 stores is overcommitted',
    ]);
    expect(headline([store(1), store(null, { level: 'unknown' }), store(1, { level: 'unknown' })])).toBe(
      '1 of 3 stores in an unknown state',
    );
    expect(headline([store(1, { level: 'unknown' })])).toBe('The store is not overcommitted; its growth is not known yet');
  });
});

it('treeOf() starts with the root of the chain, and gives the reason why a file was not read', () => {
  const link = (depth: number, path: string | null) => ({
    role: 'backing',
    depth,
    name: 'base',
    path,
    status: path === null ? 'refused' : 'opened',
    reason: 'why',
  });
  const image = { path: '/a', chain: [link(1, '/b'), link(2, null)], backingOf: ['/c'] } as unknown as ImageView;
  expect(treeOf(image).map(({ path, role, depth, note }) => [path, role, depth, note])).toEqual([
    ['base', 'backing', 0, 'refused: why'],
    ['/b', 'backing', 1, null],
    ['/a', 'this', 2, null],
    ['/c', 'overlay', 3, null],
  ]);
});
