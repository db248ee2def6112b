/** A daemon's view of stores and images with fixed contents, for tests of what is made of it. */
import type { StoreService } from '#service';
import type { ImageView, Outlook, StatusReport, StoreForecast, StoreRules, StoreView } from '#wire';
import { A_HOST } from './host.ts';
import { anImage } from './reports.ts';

const GiB = 2 ** 30;

const NOT_WATCHED = { bytes: null, percent: null, seconds: null };
const UNKNOWN_GROWTH = { low: null, high: null, samples: 0, spanSeconds: 0, unknown: 'no history yet' };

const RULES: StoreRules = {
  policy: 'promise',
  idleShare: 0.25,
  floor: GiB,
  assume: [],
  neverWritten: [],
  exclude: [],
  noticeSeconds: 60,
  relieveSeconds: 3600,
  warning: NOT_WATCHED,
  critical: NOT_WATCHED,
};

export function anOutlook(changes: Partial<Outlook> = {}): Outlook {
  return { outcome: 'expected', earliest: 7200, latest: 86_400, reason: null, ...changes };
}

export function aForecast(toFull: Outlook): StoreForecast {
  return { growth: { ...UNKNOWN_GROWTH }, toWarning: anOutlook(), toCritical: anOutlook(), toFloor: anOutlook(), toFull };
}

/** A store of 100 GiB, half used, that holds two images, save what `changes` says. */
export function aStoreView(changes: Partial<StoreView> = {}): StoreView {
  return {
    id: 'uuid:0f1e2d3c',
    host: A_HOST.id,
    mount: '/srv/vm',
    type: 'ext4',
    size: 100 * GiB,
    used: 50 * GiB,
    available: 45 * GiB,
    allocation: 40 * GiB,
    commitment: 60 * GiB,
    residual: 20 * GiB,
    otherHoles: 0,
    mapExcess: 0,
    shared: 3 * GiB,
    floor: GiB,
    headroom: 20 * GiB,
    fits: true,
    assumed: [],
    findings: [],
    directories: ['/srv/vm'],
    presence: 'present',
    imageCount: 2,
    unreadableCount: 0,
    reserved: 4 * GiB,
    rules: RULES,
    entitled: 45 * GiB,
    level: 'ok',
    alerts: [],
    sum: { policy: 'promise', components: [], remaining: 20 * GiB, unknown: null },
    forecast: aForecast(anOutlook()),
    scannedAt: '2026-07-01T12:00:00.500Z',
    scanSeconds: 1.25,
    ...changes,
  };
}

/** An image of that store, save what `changes` says. */
export function anImageView(changes: Partial<ImageView> = {}): ImageView {
  return {
    ...anImage(),
    exclusive: 200_704,
    shared: 0,
    aliases: [],
    backingOf: [],
    neverWritten: null,
    id: 'i1',
    store: 'uuid:0f1e2d3c',
    machine: null,
    growth: UNKNOWN_GROWTH,
    toCommitment: anOutlook(),
    ...changes,
  };
}

export interface ServiceParts {
  readonly stores?: readonly StoreView[];
  readonly images?: readonly ImageView[];
  readonly findings?: StatusReport['findings'];
  /** The most images that one page holds, whatever is asked for. */
  readonly pageLimit?: number;
}

/** Answers `status`, `stores` and `images` (in the given order, unfiltered); all else throws. */
export function aService({ stores = [aStoreView()], images = [], findings = [], pageLimit = Infinity }: ServiceParts = {}): StoreService {
  const unasked = (): never => {
    throw new Error('this watch answers status, stores and images only');
  };
  return {
    ready: () => Promise.resolve(),
    status: async () => ({
      schema: 'plimsoll.status/1',
      version: '1.2.3',
      startedAt: '2026-07-01T00:00:00.000Z',
      host: A_HOST,
      stores,
      findings,
    }),
    queryStores: async () => stores,
    queryImages: async ({ offset, limit }) => ({
      total: images.length,
      offset,
      images: images.slice(offset, offset + Math.min(limit, pageLimit)),
    }),
    queryStore: unasked,
    queryImage: unasked,
    storeHistory: unasked,
    imageHistory: unasked,
    checkAdmission: unasked,
    reserve: unasked,
    release: unasked,
    queryReservations: unasked,
    planMoves: unasked,
    queryAlerts: unasked,
    subscribe: unasked,
    rescan: unasked,
    close: unasked,
  };
}
