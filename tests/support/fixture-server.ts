/**
 * A stand-in for the daemon's server: what was built of the dashboard, and an API that answers from fixtures. By itself:
 *
 *   npx tsx --conditions=source tests/support/fixture-server.ts [PORT]
 */
import { createReadStream, existsSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import type {
  AdmissionDecision,
  AdmissionRequest,
  ImageView,
  MovePlan,
  Reservation,
  ReservationRequest,
  ServeEvent,
  StoreView,
} from '../../src/wire/index.ts';
import {
  aStore,
  fixtureImages,
  fixtureReservations,
  fixtureStores,
  growth,
  imageHistory,
  RULES,
  storeHistory,
  sumOf,
} from './fixture-stores.ts';
import { A_HOST } from './host.ts';
import { ROOT } from './root.ts';

const WEB = join(ROOT, 'dist', 'web');
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};
const POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

type Answer = readonly [status: number, body: unknown];

export class FixtureServer {
  readonly #server: Server;
  readonly #listeners = new Set<ServerResponse>();
  readonly #images = new Map<string, ImageView[]>();
  #stores: StoreView[];
  /** The token that the API requires; undefined: none. */
  token: string | undefined;
  #reservations: Reservation[] = fixtureReservations();

  constructor(stores: StoreView[] = fixtureStores()) {
    this.#stores = stores;
    for (const store of stores) this.#images.set(store.id, fixtureImages(store));
    this.#server = createServer((request, response) => void this.#handle(request, response));
  }

  /** Starts on `port`, 0 for any; returns the address, with a slash at its end. */
  async listen(port = 0): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  async close(): Promise<void> {
    this.dropListeners();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends the connections of all subscribers to events. */
  dropListeners(): void {
    for (const response of this.#listeners) response.destroy();
    this.#listeners.clear();
  }

  tell(event: ServeEvent): void {
    for (const response of this.#listeners) response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  }

  /** The healthy store grows to `usedGiB`, and all subscribers get the event. */
  grow(usedGiB: number): void {
    const store = aStore({
      id: 'uuid:1111-healthy',
      mount: '/srv/vm',
      sizeGiB: 1843,
      usedGiB,
      keptGiB: 94,
      imagesGiB: usedGiB - 47,
      residualGiB: 512,
      reservedGiB: 40,
      imageCount: 10_000,
      growth: growth(2.1, 5.4),
    });
    this.#stores = this.#stores.map((one) => (one.id === store.id ? store : one));
    this.tell({ type: 'store', host: A_HOST.id, store });
    for (const alert of store.alerts) this.tell({ type: 'alert', host: A_HOST.id, alert, state: 'raised' });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (!url.pathname.startsWith('/api/v1/')) {
      sendFile(url.pathname, response);
      return;
    }
    if (this.token !== undefined && request.headers.authorization !== `Bearer ${this.token}`) {
      response
        .writeHead(401)
        .end(JSON.stringify({ error: { kind: 'refused', code: 'TOKEN_WRONG', message: 'The token is missing or wrong' } }));
      return;
    }
    const words = url.pathname.slice('/api/v1/'.length).split('/').map(decodeURIComponent);
    if (words[0] === 'events') {
      this.#listen(response);
      return;
    }
    const body = request.method === 'POST' ? await bodyOf(request) : undefined;
    const [status, answer] = this.#answer(request.method ?? 'GET', words, url.searchParams, body);
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  }

  #listen(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write(`event: hello\ndata: ${JSON.stringify({ type: 'hello', host: A_HOST, stores: this.#stores })}\n\n`);
    this.#listeners.add(response);
    response.on('close', () => this.#listeners.delete(response));
  }

  #answer(method: string, words: readonly string[], query: URLSearchParams, body: unknown): Answer {
    const [first, second = '', third] = words;
    if (first === 'images') return second === '' ? this.#list(query) : this.#image(second, third, query);
    if (first === 'stores' && second !== '') return this.#store(second, third, query);
    if (first === 'stores') return [200, this.#stores];
    if (first === 'alerts') return [200, this.#stores.flatMap(({ alerts }) => alerts)];
    if (first === 'reservations' && method === 'DELETE') return this.#release(second);
    if (first === 'reservations') {
      return [200, this.#reservations.filter(({ state }) => state === 'held' || query.get('ended') === 'true')];
    }
    if (first === 'admission') return this.#admit(second, body as ReservationRequest);
    return notFound('page');
  }

  #list(query: URLSearchParams): Answer {
    const search = (query.get('search') ?? '').toLowerCase();
    const of = query.get('store');
    const all = [...this.#images].filter(([id]) => of === null || id === of).flatMap(([, images]) => images);
    const found = all.filter((image) => image.path.toLowerCase().includes(search));
    const sign = query.get('descending') === 'true' ? -1 : 1;
    found.sort((one, other) => sign * compare(one, other, query.get('sort') ?? 'risk'));
    const offset = Number(query.get('offset') ?? 0);
    return [200, { total: found.length, offset, images: found.slice(offset, offset + Number(query.get('limit') ?? 50)) }];
  }

  #image(id: string, part: string | undefined, query: URLSearchParams): Answer {
    const image = [...this.#images.values()].flat().find((one) => one.id === id);
    if (image === undefined) return notFound('image');
    return [200, part === 'history' ? imageHistory(image, Number(query.get('from'))) : image];
  }

  #store(id: string, part: string | undefined, query: URLSearchParams): Answer {
    const store = this.#stores.find((one) => one.id === id);
    if (store === undefined) return notFound('store');
    if (part === 'history') {
      return [200, storeHistory(store, Number(query.get('from')), Number(query.get('to')), Number(query.get('points')))];
    }
    return [200, part === 'moves' ? this.#moves(store, query.get('target')) : store];
  }

  #moves(store: StoreView, target: string | null): MovePlan {
    const shortfall = Math.max(0, -(store.sum.remaining ?? 0));
    const images = (this.#images.get(store.id) ?? []).slice(3, 5);
    if (shortfall === 0) return { store: store.id, shortfall, moves: [], shortfallAfter: 0, remark: null };
    const moves = images.map((image) => ({
      images: [{ id: image.id, path: image.path, allocation: image.allocation ?? 0 }],
      machine: image.machine,
      from: store.id,
      to: target,
      copied: image.allocation ?? 0,
      freed: image.exclusive ?? 0,
      relief: (image.exclusive ?? 0) + (image.residual ?? 0),
      remainingOnTarget: target === null ? null : 300 * 1024 ** 3,
      inUse: image.openForWriting,
      reason: 'the most relief for the fewest bytes copied',
    }));
    const relief = moves.reduce((sum, move) => sum + move.relief, 0);
    return { store: store.id, shortfall, moves, shortfallAfter: Math.max(0, shortfall - relief), remark: null };
  }

  #release(key: string): Answer {
    const held = this.#reservations.find((one) => one.key === key && one.state === 'held');
    if (held === undefined) return notFound('reservation');
    this.#reservations = this.#reservations.map((one) => (one === held ? { ...one, state: 'released' } : one));
    return [200, { ...held, state: 'released' }];
  }

  #admit(verb: string, request: AdmissionRequest & Partial<ReservationRequest>): Answer {
    const store = this.#stores.find((one) => one.id === request.store);
    if (store === undefined) return notFound('store');
    if (request.image?.options?.includes('wrong') === true) {
      return [400, { error: { kind: 'usage', code: 'CREATE_OPTION', message: 'Cannot parse the options: wrong is no option of qcow2' } }];
    }
    const bytes = request.bytes ?? Math.round((request.image?.capacity ?? 0) * 1.0002);
    const sum = {
      ...sumOf(store.available, store.residual, store.reserved, bytes, store.sum.unknown),
      policy: request.policy ?? RULES.policy,
    };
    const admitted = sum.remaining === null ? null : sum.remaining >= 0;
    const isHeld = verb === 'reserve' && (admitted === true || request.overcommit === true);
    const decision: AdmissionDecision = {
      schema: 'plimsoll.admission/1',
      admitted,
      store: store.id,
      host: A_HOST.id,
      bytes,
      sum,
      message: MESSAGES[String(admitted)] ?? '',
      assumed: [],
      scannedAt: new Date().toISOString(),
      reservation: isHeld ? this.#hold(request, bytes) : null,
    };
    if (verb === 'check') return [200, decision];
    return isHeld ? [201, decision] : [409, { error: { kind: 'conflict', code: 'DOES_NOT_FIT', message: decision.message }, decision }];
  }

  #hold(request: AdmissionRequest & Partial<ReservationRequest>, bytes: number): Reservation {
    const nowMs = Date.now();
    const reservation: Reservation = {
      key: request.key ?? '',
      store: request.store,
      bytes,
      path: request.path ?? null,
      createdAt: new Date(nowMs).toISOString(),
      expiresAt: new Date(nowMs + (request.ttlSeconds ?? 0) * 1000).toISOString(),
      state: 'held',
    };
    this.#reservations = [reservation, ...this.#reservations];
    this.tell({ type: 'reservation', host: A_HOST.id, reservation });
    return reservation;
  }
}

const MESSAGES: Readonly<Record<string, string>> = {
  true: 'It fits: all that is promised, and the new image, can be written',
  false: 'It does not fit: more would be promised than the store can hold',
  null: 'It is unknown whether it fits',
};

function compare(one: ImageView, other: ImageView, sort: string): number {
  if (sort === 'path') return one.path < other.path ? -1 : 1;
  if (sort === 'risk') return risk(one) - risk(other);
  const figure = (image: ImageView): number => (image as unknown as Record<string, number | null>)[sort] ?? -1;
  return figure(one) - figure(other);
}

function risk(image: ImageView): number {
  if (image.error !== undefined) return Number.POSITIVE_INFINITY;
  return 1 / (image.toCommitment.earliest ?? 1e12);
}

function notFound(what: string): Answer {
  return [404, { error: { kind: 'not-found', code: `${what.toUpperCase()}_UNKNOWN`, message: `Cannot find the ${what}` } }];
}

function sendFile(pathname: string, response: ServerResponse): void {
  const file = join(WEB, normalize(pathname === '/' ? '/index.html' : pathname));
  if (!file.startsWith(WEB) || !existsSync(file)) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'content-security-policy': POLICY });
  createReadStream(file).pipe(response);
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const piece of request) text += String(piece);
  return JSON.parse(text);
}

if (process.argv[1] === import.meta.filename) {
  const server = new FixtureServer();
  console.log(await server.listen(Number(process.argv[2] ?? 0)));
  let used = 702;
  setInterval(() => server.grow((used += 0.5)), 500);
}
