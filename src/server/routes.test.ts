/** Every route, through a real socket: what the StoreService gave arrives unchanged, and is what the schemas say. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ReservationRefusal } from '#wire';
import { FakeService, STORE_ID } from '../../tests/support/fake-service.ts';
import { type Answer, ask } from '../../tests/support/http.ts';
import { openLog } from './log.ts';
import { openServer, type RunningServer } from './server.ts';

const TOKEN = 'correct-horse-battery-staple-0123456789';
let service: FakeService;
let server: RunningServer;
beforeEach(async () => {
  await server?.close();
  service = new FakeService();
  server = await openServer({
    service,
    version: '0.1.0',
    log: openLog('silent'),
    listen: { host: '127.0.0.1', port: 0 },
    socket: undefined,
    token: { text: TOKEN, isConfigured: false },
    webDirectory: undefined,
  });
});
afterAll(() => server.close());

const get = (path: string): Promise<Answer> => ask(`${server.url ?? ''}#token=${TOKEN}`, path);
const post = (path: string, body: unknown): Promise<Answer> => ask(`${server.url ?? ''}#token=${TOKEN}`, path, { method: 'POST', body });
const store = encodeURIComponent(STORE_ID);
const GiB = 2 ** 30;

type Json = Record<string, unknown>;
let document: Json;
const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
beforeAll(async () => {
  const one = await openServer({
    service: new FakeService(),
    version: '0.1.0',
    log: openLog('silent'),
    listen: { host: '127.0.0.1', port: 0 },
    socket: undefined,
    token: { text: TOKEN, isConfigured: false },
    webDirectory: undefined,
  });
  document = (await ask(`${one.url ?? ''}#token=${TOKEN}`, '/api/v1/openapi.json')).json as Json;
  await one.close();
  ajv.addSchema({ $id: 'openapi', ...document });
});

/** What is wrong with `answer` by the OpenAPI document; every property must be one that it names. */
function complaints(method: string, path: string, answer: Answer): unknown {
  const pointer = `openapi#/paths/${path.replaceAll('/', '~1')}/${method}/responses/${answer.status}/content/application~1json/schema`;
  const validate = ajv.getSchema(encodeURI(pointer));
  if (validate === undefined) return `the document has no ${pointer}`;
  return validate(answer.json) === true ? [] : validate.errors;
}

describe('the routes that look', () => {
  it.each([
    ['/api/v1/status', '/status', () => service.status()],
    ['/api/v1/stores', '/stores', () => service.queryStores()],
    [`/api/v1/stores/${store}`, '/stores/{id}', () => service.view],
    ['/api/v1/images', '/images', () => ({ total: 3, offset: 0, images: service.imageViews })],
    ['/api/v1/images/mail%2F%C3%BC', '/images/{id}', () => service.imageViews[1]],
    [`/api/v1/stores/${store}/history`, '/stores/{id}/history', () => service.storeHistory(STORE_ID, { fromMs: 0, toMs: 1, points: 2 })],
    ['/api/v1/images/web/history', '/images/{id}/history', () => service.imageHistory('web', { fromMs: 0, toMs: 1, points: 2 })],
    [`/api/v1/stores/${store}/moves`, '/stores/{id}/moves', () => service.planMoves(STORE_ID)],
    [`/api/v1/stores/${store}/moves?target=other%3A1`, '/stores/{id}/moves', () => service.planMoves(STORE_ID, 'other:1')],
    ['/api/v1/alerts', '/alerts', () => service.queryAlerts()],
    ['/api/v1/reservations', '/reservations', () => []],
  ])('%s answers what the service gave, nulls and absent properties included', async (path, documented, given) => {
    const answer = await get(path);
    expect(answer.json).toStrictEqual(JSON.parse(JSON.stringify(await given())));
    expect([answer.status, answer.headers['content-type'], complaints('get', `/api/v1${documented}`, answer)]).toEqual([
      200,
      'application/json; charset=utf-8',
      [],
    ]);
  });

  it('hand on what an address asks for, as numbers and truths', async () => {
    await get('/api/v1/images?store=a%20b&search=%C3%BC&sort=path&descending=true&offset=1&limit=1');
    await get('/api/v1/images');
    expect(service.asked).toEqual([
      { store: 'a b', search: 'ü', sort: 'path', descending: true, offset: 1, limit: 1 },
      { sort: 'risk', descending: true, offset: 0, limit: 50 },
    ]);
  });

  it('take times as ISO 8601 and as milliseconds', async () => {
    await get(`/api/v1/stores/${store}/history?from=2026-11-23T00:00:00Z&to=1795435200000&points=10`);
    expect(service.asked).toEqual([{ fromMs: Date.parse('2026-11-23T00:00:00Z'), toMs: 1_795_435_200_000, points: 10 }]);
  });

  it.each([
    ['/images?limit=501', 'query/limit'],
    ['/images?limit=x', 'query/limit'],
    ['/images?limit=1.5', 'query/limit'],
    ['/images?offset=-1', 'query/offset'],
    ['/images?sort=size', 'query/sort'],
    ['/images?descending=perhaps', 'query/descending'],
    ['/images?sorted=path', 'query/sorted'],
    ['/images?limit=1&limit=2', 'query/limit'],
    [`/stores/${store}/history?points=1`, 'query/points'],
    [`/stores/${store}/history?from=yesterday`, 'from'],
    [`/stores/${store}/history?from=2026-11-23&to=2026-11-22`, 'from'],
  ])('%s is refused with 400', async (path, field) => {
    const answer = await get(`/api/v1${path}`);
    expect([answer.status, answer.json]).toEqual([400, { error: expect.objectContaining({ kind: 'usage', field }) }]);
  });

  it.each([
    ['/stores/nowhere', 'STORE_UNKNOWN'],
    ['/stores/nowhere/history', 'STORE_UNKNOWN'],
    ['/stores/nowhere/moves', 'STORE_UNKNOWN'],
    ['/images/nothing', 'IMAGE_UNKNOWN'],
    ['/images/nothing/history', 'IMAGE_UNKNOWN'],
    ['/nothing', 'ROUTE_UNKNOWN'],
  ])('%s is not found', async (path, code) => {
    const answer = await get(`/api/v1${path}`);
    expect([answer.status, answer.json]).toEqual([404, { error: expect.objectContaining({ kind: 'not-found', code }) }]);
  });
});

describe('admission', () => {
  it('answers a check with 200, whatever the verdict', async () => {
    const yes = await post('/api/v1/admission/check', { store: STORE_ID, bytes: GiB });
    const no = await post('/api/v1/admission/check', { store: '/srv/vm/new.raw', bytes: 40 * GiB, policy: 'entitled', idleShare: 0.5 });
    expect([yes.status, no.status]).toEqual([200, 200]);
    expect([yes.json, no.json]).toMatchObject([{ admitted: true }, { admitted: false, sum: { policy: 'entitled', remaining: -11 * GiB } }]);
    expect([complaints('post', '/api/v1/admission/check', yes), complaints('post', '/api/v1/admission/check', no)]).toEqual([[], []]);
  });

  it('works out what an image would come to', async () => {
    const image = { format: 'qcow2', capacity: 10 * GiB, options: 'cluster_size=2M' };
    await post('/api/v1/admission/check', { store: STORE_ID, image });
    await post('/api/v1/admission/check', { store: STORE_ID, image: { format: 'raw', capacity: GiB } });
    await post('/api/v1/admission/check', { store: STORE_ID, image: { format: 'qcow2', capacity: GiB, options: 'data_file=d' } });
    const asked = service.asked as { store: string; bytes: number }[];
    expect(asked.map((one) => one.store)).toEqual([STORE_ID, STORE_ID, STORE_ID]);
    const [qcow2, raw, dataFile] = asked.map(({ bytes }) => bytes) as [number, number, number];
    expect(qcow2).toBeGreaterThan(10 * GiB);
    // With what the filesystem charges for its map of the file.
    expect(raw).toBeGreaterThan(GiB);
    expect(dataFile).toBeGreaterThan(raw);
  });

  it('holds with 201, and says 200 when it is held already', async () => {
    const body = { store: STORE_ID, bytes: GiB, key: 'a b/ü', ttlSeconds: 60, path: '/srv/vm/x.raw' };
    const first = await post('/api/v1/admission/reserve', body);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const second = await post('/api/v1/admission/reserve', body);
    expect([first.status, second.status]).toEqual([201, 200]);
    expect([complaints('post', '/api/v1/admission/reserve', first), complaints('post', '/api/v1/admission/reserve', second)]).toEqual([
      [],
      [],
    ]);
    const listed = await get('/api/v1/reservations?ended=true');
    expect(listed.json).toEqual([...service.held.values()]);
    const released = await ask(`${server.url ?? ''}#token=${TOKEN}`, `/api/v1/reservations/${encodeURIComponent('a b/ü')}`, {
      method: 'DELETE',
    });
    expect([released.status, released.json]).toMatchObject([200, { key: 'a b/ü', state: 'released' }]);
    const again = await ask(`${server.url ?? ''}#token=${TOKEN}`, '/api/v1/reservations/nothing', { method: 'DELETE' });
    expect([again.status, again.json]).toMatchObject([404, { error: { code: 'RESERVATION_UNKNOWN' } }]);
  });

  it('refuses with 409, the error and the sum', async () => {
    const answer = await post('/api/v1/admission/reserve', { store: STORE_ID, bytes: 40 * GiB, key: 'k', ttlSeconds: 60 });
    expect([answer.status, complaints('post', '/api/v1/admission/reserve', answer)]).toEqual([409, []]);
    const { error, decision } = answer.json as ReservationRefusal;
    expect([error.kind, error.code, error.message]).toEqual(['conflict', 'DOES_NOT_FIT', 'It does not fit.']);
    expect(decision).toMatchObject({ admitted: false, sum: { remaining: -11 * GiB }, reservation: null });
  });

  it('refuses an unknown fit with a code of its own, and reserves even then with overcommit', async () => {
    const blind = new FakeService({ sum: { policy: 'promise', components: [], remaining: null, unknown: 'an image cannot be read' } });
    await server.close();
    server = await openServer({
      service: blind,
      version: '0.1.0',
      log: openLog('silent'),
      listen: { host: '127.0.0.1', port: 0 },
      socket: undefined,
      token: { text: TOKEN, isConfigured: false },
      webDirectory: undefined,
    });
    const body = { store: STORE_ID, bytes: GiB, key: 'k', ttlSeconds: 60 };
    const refused = await post('/api/v1/admission/reserve', body);
    const held = await post('/api/v1/admission/reserve', { ...body, overcommit: true });
    expect([refused.status, refused.json]).toMatchObject([409, { error: { code: 'FIT_UNKNOWN' }, decision: { admitted: null } }]);
    expect([held.status, held.json]).toMatchObject([201, { admitted: null, reservation: { key: 'k' } }]);
  });

  it('answers a key that holds something else with 409 and no decision', async () => {
    await post('/api/v1/admission/reserve', { store: STORE_ID, bytes: 1, key: 'k', ttlSeconds: 60 });
    const answer = await post('/api/v1/admission/reserve', { store: STORE_ID, bytes: 2, key: 'k', ttlSeconds: 60 });
    expect([answer.status, answer.json]).toEqual([409, { error: expect.objectContaining({ code: 'RESERVATION_DIFFERS' }) }]);
    expect(complaints('post', '/api/v1/admission/reserve', answer)).toEqual([]);
  });

  const check = { store: STORE_ID, bytes: 1 };
  const reserve = { ...check, key: 'k', ttlSeconds: 60 };
  it.each([
    ['check', { store: STORE_ID }, 'ADMISSION_WHAT'],
    ['check', { ...check, image: { format: 'raw', capacity: 1 } }, 'ADMISSION_WHAT'],
    ['check', { ...check, bytes: '1' }, 'REQUEST_INVALID'],
    ['check', { ...check, bytes: null }, 'REQUEST_INVALID'],
    ['check', { ...check, bytes: -1 }, 'REQUEST_INVALID'],
    ['check', { ...check, bytes: 1.5 }, 'REQUEST_INVALID'],
    ['check', { ...check, bytes: 2 ** 53 }, 'REQUEST_INVALID'],
    ['check', { ...check, policy: 'hope' }, 'REQUEST_INVALID'],
    ['check', { ...check, idleShare: 1.1 }, 'REQUEST_INVALID'],
    ['check', { ...check, byte: 1 }, 'REQUEST_INVALID'],
    ['check', { ...check, ttlSeconds: 1 }, 'REQUEST_INVALID'],
    ['check', { store: STORE_ID, image: { format: 'vmdk', capacity: 1 } }, 'REQUEST_INVALID'],
    ['check', { store: STORE_ID, image: { format: 'qcow2', capacity: 1, options: 'colour=red' } }, 'OPTION_UNKNOWN'],
    ['check', '{"store":"x","bytes":1', 'REQUEST_INVALID'],
    ['check', '{"store":"x","bytes":1,"__proto__":{}}', 'REQUEST_INVALID'],
    ['check', '[]', 'REQUEST_INVALID'],
    ['check', '', 'REQUEST_INVALID'],
    ['reserve', check, 'REQUEST_INVALID'],
    ['reserve', { ...reserve, ttlSeconds: 0 }, 'REQUEST_INVALID'],
    ['reserve', { ...reserve, ttlSeconds: 1e9 }, 'REQUEST_INVALID'],
    ['reserve', { ...reserve, key: '' }, 'REQUEST_INVALID'],
    ['reserve', { ...reserve, key: 'k'.repeat(201) }, 'REQUEST_INVALID'],
    ['reserve', { ...reserve, ttlSeconds: 0.5 }, 'REQUEST_INVALID'],
    ['reserve', { ...reserve, bytes: 0 }, 'REQUEST_INVALID'],
    ['reserve', { ...reserve, overcommit: 'yes' }, 'REQUEST_INVALID'],
  ])('%s %j is refused with 400', async (verb, body, code) => {
    const answer = await post(`/api/v1/admission/${verb}`, body);
    expect([answer.status, answer.json]).toEqual([400, { error: expect.objectContaining({ kind: 'usage', code }) }]);
    expect(service.asked).toEqual([]);
  });
});

describe('a plan that takes long to work out', () => {
  it('is refused where its tables would be placed one by one, and answered by arithmetic where not', async () => {
    const image = (options: string, capacity: number): object => ({ store: STORE_ID, image: { format: 'qcow2', capacity, options } });
    const walked = await post('/api/v1/admission/check', image('cluster_size=512,preallocation=metadata', 64 * GiB));
    expect([walked.status, walked.json]).toEqual([413, { error: expect.objectContaining({ code: 'PLAN_TOO_LARGE' }) }]);
    const counted = await post('/api/v1/admission/check', image('cluster_size=512', 128 * GiB));
    expect([counted.status, service.asked]).toEqual([200, [expect.objectContaining({ bytes: expect.any(Number) })]]);
  });
});

describe('an address that cannot be decoded', () => {
  it.each([
    ['GET', '/api/v1/stores/%zz', 'get', '/stores/{id}'],
    ['DELETE', '/api/v1/reservations/%ED%A0%80', 'delete', '/reservations/{key}'],
  ])('%s %s is refused with the one body of errors', async (method, path, verb, documented) => {
    const answer = await ask(`${server.url ?? ''}#token=${TOKEN}`, path, { method });
    expect([answer.status, answer.json]).toEqual([400, { error: expect.objectContaining({ kind: 'usage', code: 'REQUEST_INVALID' }) }]);
    expect(complaints(verb, `/api/v1${documented}`, answer)).toEqual([]);
    expect(answer.headers['x-content-type-options']).toBe('nosniff');
  });
});

describe('a rescan', () => {
  it('is answered before it has ended', async () => {
    service.delay = new Promise(() => {});
    const all = await post('/api/v1/rescan', {});
    const one = await post('/api/v1/rescan', { store: STORE_ID });
    const none = await post('/api/v1/rescan', { store: 'nowhere' });
    expect([all.status, one.status, none.status]).toEqual([202, 202, 404]);
    expect([all.json, service.asked]).toEqual([{ rescanning: [STORE_ID] }, [{ rescan: null }, { rescan: STORE_ID }]]);
  });
});

describe('the OpenAPI document', () => {
  const operations = (): (readonly [string, Json])[] =>
    Object.entries(document['paths'] as Record<string, Record<string, Json>>).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => [`${method} ${path}`, operation] as const),
    );

  it('is of version 3.1 and lists every route', () => {
    expect(document['openapi']).toBe('3.1.0');
    expect(
      operations()
        .map(([name]) => name.replace('/api/v1', ''))
        .sort(),
    ).toEqual([
      'delete /reservations/{key}',
      'get /alerts',
      'get /events',
      'get /images',
      'get /images/{id}',
      'get /images/{id}/history',
      'get /reservations',
      'get /status',
      'get /stores',
      'get /stores/{id}',
      'get /stores/{id}/history',
      'get /stores/{id}/moves',
      'post /admission/check',
      'post /admission/reserve',
      'post /rescan',
    ]);
  });

  it('declares every parameter of a path, describes every answer, and has a body where there is one', () => {
    for (const [name, operation] of operations()) {
      const named = [...name.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter);
      const parameters = (operation['parameters'] ?? []) as readonly Json[];
      const declared = parameters.filter((one) => one['in'] === 'path' && one['required'] === true).map((one) => one['name']);
      expect(declared, name).toEqual(named);
      for (const answer of Object.values(operation['responses'] as Record<string, Json>)) expect(answer['description'], name).toBeTruthy();
      expect('requestBody' in operation, name).toBe(name.startsWith('post'));
      expect(operation['summary'], name).toBeTruthy();
    }
  });

  it('refers only to what it holds, and holds schemas that a validator accepts', () => {
    const text = JSON.stringify(document);
    const held = Object.keys((document['components'] as { schemas: Json }).schemas);
    const referred = new Set([...text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(([, name = '']) => name));
    expect([...referred].sort()).toEqual(held.sort());
    expect(held).toEqual(expect.arrayContaining(['StoreView', 'ImageView', 'AdmissionDecision', 'ApiError', 'ReservationRequest']));
    for (const name of held) expect(ajv.getSchema(`openapi#/components/schemas/${name}`), name).toBeTypeOf('function');
  });
});
