/**
 * A `StoreService` by hand, for tests of routes and commands only: one store, three images, and a ledger that is a Map. It
 * scans nothing and proves nothing of the daemon.
 */
import { PlimsollError } from '#base';
import { type HeldRequest, requestedSize, type ReservationsQuery, type StoreService } from '#service';
import {
  type AdmissionDecision,
  type Growth,
  type ImagePage,
  type ImageSample,
  type ImageView,
  type MovePlan,
  type Outlook,
  type PolicySum,
  type Reservation,
  type ServeEvent,
  type StatusReport,
  type StoreRules,
  type StoreSample,
  type StoreView,
  component,
  type AdmissionRequest,
  type HistoryQuery,
  type ImageQuery,
} from '#wire';
import { A_HOST } from './host.ts';
import { anImage, anUnreadableImage } from './reports.ts';

const GiB = 2 ** 30;
const AT = '2026-11-23T12:00:00.000Z';

const NO_GROWTH: Growth = { low: null, high: null, samples: 1, spanSeconds: 0, unknown: 'the history is too short' };
const GROWTH: Growth = { low: 1000.5, high: 2000.25, samples: 60, spanSeconds: 3540, unknown: null };
const NEVER: Outlook = { outcome: 'never', earliest: null, latest: null, reason: null };
const UNKNOWN: Outlook = { outcome: 'unknown', earliest: null, latest: null, reason: 'the history is too short' };

export const RULES: StoreRules = {
  policy: 'promise',
  idleShare: 1,
  floor: GiB,
  assume: [],
  neverWritten: [],
  exclude: [],
  noticeSeconds: 120,
  relieveSeconds: 1800,
  warning: { bytes: 10 * GiB, percent: null, seconds: 86_400 },
  critical: { bytes: null, percent: 2.5, seconds: null },
};

/** Ids hold what must be escaped in an address. */
export const STORE_ID = 'uuid:3c1a/x@7 ü%';

export function aStoreView(changes: Partial<StoreView> = {}): StoreView {
  const sum: PolicySum = {
    policy: 'promise',
    components: [
      { ...component('available', 60 * GiB), explanation: 'free for users' },
      { ...component('floor', -GiB), explanation: 'must remain' },
      { ...component('residual', -30 * GiB), explanation: 'may still be written' },
    ],
    remaining: 29 * GiB,
    unknown: null,
  };
  return {
    id: STORE_ID,
    host: A_HOST.id,
    mount: '/srv',
    type: 'xfs',
    size: 100 * GiB,
    used: 40 * GiB,
    available: 60 * GiB,
    allocation: 10 * GiB,
    commitment: 40 * GiB,
    residual: 30 * GiB,
    otherHoles: 0,
    mapExcess: 0,
    shared: 0,
    floor: GiB,
    headroom: 29 * GiB,
    fits: true,
    assumed: [],
    findings: [{ level: 'info', code: 'SHARED', message: 'a name\nwith \u001b[31mescapes' }],
    directories: ['/srv/vm'],
    presence: 'present',
    imageCount: 3,
    unreadableCount: 1,
    reserved: 0,
    rules: RULES,
    entitled: null,
    level: 'ok',
    alerts: [],
    sum,
    forecast: { growth: NO_GROWTH, toWarning: UNKNOWN, toCritical: UNKNOWN, toFloor: NEVER, toFull: NEVER },
    scannedAt: AT,
    scanSeconds: 0.25,
    ...changes,
  };
}

function anImageView(id: string, changes: Partial<ImageView> = {}): ImageView {
  const image = anImage({ path: `/srv/vm/${id}.qcow2` });
  return {
    ...image,
    exclusive: null,
    shared: 0,
    aliases: [],
    backingOf: [],
    neverWritten: null,
    id,
    store: STORE_ID,
    machine: null,
    growth: GROWTH,
    toCommitment: UNKNOWN,
    ...changes,
  };
}

export class FakeService implements StoreService {
  readonly view: StoreView;
  readonly held = new Map<string, Reservation>();
  readonly listeners = new Set<(event: ServeEvent) => void>();
  readonly asked: unknown[] = [];
  readonly imageViews: readonly ImageView[] = [
    anImageView('web'),
    anImageView('mail/ü', { machine: 'mail', exclusive: 7 }),
    { ...anImageView('broken'), ...anUnreadableImage('/srv/vm/broken.qcow2') },
  ];
  /** Until this is resolved no decision is given. */
  delay: Promise<void> = Promise.resolve();

  constructor(changes: Partial<StoreView> = {}) {
    this.view = aStoreView(changes);
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  async status(): Promise<StatusReport> {
    return { schema: 'plimsoll.status/1', version: '0.1.0', startedAt: AT, host: A_HOST, stores: [this.view], findings: [] };
  }

  async queryStores(): Promise<readonly StoreView[]> {
    return [this.view];
  }

  async queryStore(id: string): Promise<StoreView> {
    return this.#store(id);
  }

  #store(id: string): StoreView {
    if (id === this.view.id) return this.view;
    throw new PlimsollError('not-found', 'STORE_UNKNOWN', { doing: 'find store', found: id, expected: 'the id of a store' });
  }

  async queryImages(query: ImageQuery): Promise<ImagePage> {
    this.asked.push(query);
    return { total: this.imageViews.length, offset: query.offset, images: this.imageViews.slice(query.offset, query.offset + query.limit) };
  }

  async queryImage(id: string): Promise<ImageView> {
    return this.#image(id);
  }

  #image(id: string): ImageView {
    const found = this.imageViews.find((one) => one.id === id);
    if (found !== undefined) return found;
    throw new PlimsollError('not-found', 'IMAGE_UNKNOWN', { doing: 'look up the image', found: id });
  }

  async storeHistory(id: string, query: HistoryQuery): Promise<readonly StoreSample[]> {
    this.asked.push(query);
    const { size, available, allocation, commitment, reserved } = this.#store(id);
    return [{ at: AT, size, available, allocation, commitment, residual: null, reserved }];
  }

  async imageHistory(id: string, query: HistoryQuery): Promise<readonly ImageSample[]> {
    this.asked.push(query);
    return [{ at: AT, length: null, allocation: this.#image(id).allocation ?? 0, commitment: null }];
  }

  async checkAdmission(asked: AdmissionRequest): Promise<AdmissionDecision> {
    const request = onFilesystem(asked);
    this.asked.push(request);
    await this.delay;
    return this.#decide(request, null);
  }

  async reserve(asked: HeldRequest): Promise<AdmissionDecision> {
    const request = onFilesystem(asked);
    this.asked.push(request);
    await this.delay;
    const own = this.held.get(request.key);
    if (own !== undefined && own.bytes === request.bytes) return this.#decide(request, own);
    if (own !== undefined)
      throw new PlimsollError('conflict', 'RESERVATION_DIFFERS', { doing: 'reserve', found: own.bytes, expected: request.bytes });
    const decision = this.#decide(request, null);
    if (decision.admitted !== true && request.overcommit !== true) return decision;
    const nowMs = Date.now();
    const reservation: Reservation = {
      key: request.key,
      store: this.view.id,
      bytes: request.bytes,
      path: request.path ?? null,
      createdAt: new Date(nowMs).toISOString(),
      expiresAt: new Date(nowMs + request.ttlSeconds * 1000).toISOString(),
      state: 'held',
    };
    this.held.set(request.key, reservation);
    this.tell({ type: 'reservation', host: A_HOST.id, reservation });
    return { ...decision, reservation };
  }

  #decide(request: AdmissionRequest & { readonly bytes: number }, reservation: Reservation | null): AdmissionDecision {
    const isOnIt = this.view.directories.some((directory) => `${request.store}/`.startsWith(`${directory}/`));
    const store = this.#store(isOnIt ? this.view.id : request.store);
    const reserved = [...this.held.values()].filter((one) => one !== reservation).reduce((total, one) => total + one.bytes, 0);
    const { sum } = store;
    const remaining = sum.remaining === null ? null : sum.remaining - reserved - request.bytes;
    const admitted = remaining === null ? null : remaining >= 0;
    return {
      schema: 'plimsoll.admission/1',
      admitted,
      store: store.id,
      host: A_HOST.id,
      bytes: request.bytes,
      sum: {
        policy: request.policy ?? sum.policy,
        components: [
          ...sum.components,
          { ...component('reserved', 0 - reserved), explanation: 'held for others' },
          { ...component('request', 0 - request.bytes), explanation: 'this one' },
        ],
        remaining,
        unknown: sum.unknown,
      },
      message: admitted === null ? `Whether it fits is unknown. ${sum.unknown ?? ''}`.trim() : admitted ? 'It fits.' : 'It does not fit.',
      assumed: [],
      scannedAt: AT,
      reservation,
    };
  }

  async release(key: string): Promise<Reservation> {
    const found = this.held.get(key);
    if (found === undefined) throw new PlimsollError('not-found', 'RESERVATION_UNKNOWN', { doing: 'release the reservation', found: key });
    this.held.delete(key);
    return { ...found, state: 'released' };
  }

  async queryReservations(query: ReservationsQuery): Promise<readonly Reservation[]> {
    this.asked.push(query);
    return [...this.held.values()];
  }

  async planMoves(store: string, target?: string): Promise<MovePlan> {
    const { id } = this.#store(store);
    return {
      store: id,
      shortfall: null,
      moves: [
        {
          images: [{ id: 'web', path: '/srv/vm/web.qcow2', allocation: 200_704 }],
          machine: null,
          from: id,
          to: target ?? null,
          copied: 200_704,
          freed: 200_704,
          relief: 42_956_451_840,
          remainingOnTarget: null,
          inUse: null,
          reason: 'most relief for the bytes copied',
        },
      ],
      shortfallAfter: 0,
      remark: null,
    };
  }

  async queryAlerts(): Promise<StoreView['alerts']> {
    return this.view.alerts;
  }

  subscribe(listener: (event: ServeEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  tell(event: ServeEvent): void {
    for (const listener of this.listeners) listener(event);
  }

  async rescan(store?: string): Promise<void> {
    this.asked.push({ rescan: store ?? null });
    await this.delay;
  }

  async close(): Promise<void> {}
}

/** The request with its bytes, as on an XFS with blocks of 4 KiB. */
function onFilesystem<T extends AdmissionRequest>({ image, ...request }: T): Omit<T, 'image'> & { readonly bytes: number } {
  return {
    ...request,
    bytes: requestedSize({
      ...(image === undefined ? {} : { image }),
      ...(request.bytes === undefined ? {} : { bytes: request.bytes }),
    }).bytesOn({ filesystem: 'xfs', fsBlockSize: 4096 }),
  };
}
