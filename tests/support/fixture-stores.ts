/** Stores and images as a daemon could tell of them, one for each state that the dashboard has to show. */
import {
  type Growth,
  type ImageSample,
  type ImageView,
  type Level,
  type Outlook,
  type PolicySum,
  type Reservation,
  type StoreRules,
  type StoreSample,
  type StoreView,
  component,
} from '../../src/wire/index.ts';
import { A_HOST } from './host.ts';

const GiB = 1024 ** 3;
const DAY = 86_400;
const START_MS = Date.now();

export const RULES: StoreRules = {
  policy: 'promise',
  idleShare: 0.2,
  floor: 10 * GiB,
  assume: [],
  neverWritten: ['backing'],
  exclude: [],
  noticeSeconds: 300,
  relieveSeconds: 3600,
  warning: { bytes: 50 * GiB, percent: 10, seconds: 14 * DAY },
  critical: { bytes: 10 * GiB, percent: 3, seconds: 3 * DAY },
};

const UNKNOWN_GROWTH: Growth = { low: null, high: null, samples: 3, spanSeconds: 420, unknown: 'the history spans 7 min, 1 day is needed' };

export function growth(lowGiBaDay: number, highGiBaDay: number): Growth {
  return { low: (lowGiBaDay * GiB) / DAY, high: (highGiBaDay * GiB) / DAY, samples: 336, spanSeconds: 14 * DAY, unknown: null };
}

/** When `distance` bytes are filled. */
export function outlook(distance: number | null, { low, high, unknown }: Growth, mostToCome: number | null): Outlook {
  if (distance === null || low === null || high === null)
    return { outcome: 'unknown', earliest: null, latest: null, reason: unknown ?? 'the distance is not known' };
  if (distance <= 0) return { outcome: 'reached', earliest: 0, latest: 0, reason: null };
  if (mostToCome !== null && mostToCome < distance) {
    return { outcome: 'never', earliest: null, latest: null, reason: 'all that is promised is less than that' };
  }
  const seconds = (rate: number): number | null => (rate > 0 ? distance / rate : null);
  return { outcome: 'expected', earliest: seconds(high), latest: seconds(low), reason: null };
}

interface StoreChoice {
  readonly id: string;
  readonly mount: string;
  readonly type?: string;
  readonly sizeGiB: number;
  readonly usedGiB: number;
  readonly keptGiB?: number;
  readonly imagesGiB: number;
  readonly residualGiB: number | null;
  readonly reservedGiB?: number;
  readonly sharedGiB?: number;
  readonly growth?: Growth;
  readonly imageCount: number;
  readonly presence?: StoreView['presence'];
  readonly unknown?: string;
  readonly findings?: StoreView['findings'];
  readonly level?: Level;
}

export function aStore(choice: StoreChoice): StoreView {
  const bytes = (gib: number): number => Math.round(gib * GiB) + 4096;
  const size = bytes(choice.sizeGiB);
  const used = bytes(choice.usedGiB);
  const available = size - used - (choice.keptGiB ?? 0) * GiB;
  const allocation = bytes(choice.imagesGiB);
  const residual = choice.residualGiB === null ? null : bytes(choice.residualGiB);
  const reserved = (choice.reservedGiB ?? 0) * GiB;
  const remaining = residual === null ? null : available - residual - reserved - RULES.floor;
  const speed = choice.growth ?? growth(1, 2.5);
  const level = choice.level ?? levelOf(remaining);
  return {
    id: choice.id,
    host: A_HOST.id,
    mount: choice.mount,
    type: choice.type ?? 'ext4',
    size,
    used,
    available,
    allocation,
    commitment: residual === null ? null : allocation + residual,
    residual,
    otherHoles: 0,
    mapExcess: 0,
    shared: (choice.sharedGiB ?? 0) * GiB,
    floor: RULES.floor,
    headroom: remaining,
    fits: remaining === null ? null : remaining >= 0,
    assumed: [],
    findings: choice.findings ?? [],
    directories: [choice.mount],
    presence: choice.presence ?? 'present',
    imageCount: choice.imageCount,
    unreadableCount: choice.imageCount > 3 ? 1 : 0,
    reserved,
    rules: RULES,
    entitled: residual === null ? null : allocation + 0.2 * residual,
    level,
    alerts:
      level === 'warning' || level === 'critical'
        ? [
            {
              store: choice.id,
              level,
              by: [level === 'critical' ? 'policy' : 'bytes'],
              since: new Date(START_MS - 3_600_000).toISOString(),
              message: alertOf(remaining),
            },
          ]
        : [],
    sum: sumOf(available, residual, reserved, 0, choice.unknown ?? null),
    forecast: {
      growth: speed,
      toWarning: outlook(available - 60 * GiB, speed, residual),
      toCritical: outlook(available - 20 * GiB, speed, residual),
      toFloor: outlook(available - RULES.floor, speed, residual),
      toFull: outlook(available, speed, residual),
    },
    scannedAt: new Date(Date.now() - 12_000).toISOString(),
    scanSeconds: 0.4,
  };
}

function levelOf(left: number | null): Level {
  if (left === null) return 'unknown';
  if (left < 0) return 'critical';
  return left < 50 * GiB ? 'warning' : 'ok';
}

function alertOf(left: number | null): string {
  const gib = ((left ?? 0) / GiB).toFixed(1);
  return (left ?? 0) < 0 ? `the promises exceed the store by ${gib.slice(1)} GiB` : `${gib} GiB left above the floor`;
}

export function sumOf(available: number, residual: number | null, reserved: number, request: number, unknown: string | null): PolicySum {
  const components = [
    { ...component('available', available), explanation: 'free for the images, as the filesystem says' },
    ...(residual === null ? [] : [{ ...component('residual', -residual), explanation: 'worst-case further growth of the images' }]),
    { ...component('reserved', -reserved), explanation: 'reserved for images that do not exist yet' },
    ...(request === 0 ? [] : [{ ...component('request', -request), explanation: 'the request; counts in full under every policy' }]),
    { ...component('floor', -RULES.floor), explanation: 'must always remain free' },
  ];
  const remaining = residual === null ? null : available - residual - reserved - request - RULES.floor;
  return { policy: 'promise', components, remaining, unknown };
}

const BTRFS_FINDING = {
  level: 'warning',
  code: 'STORE_NO_PROMISE',
  message: 'On btrfs the growth of a file is unbounded: snapshots and partial overwrites of extents keep old blocks',
} as const;

export function fixtureStores(): StoreView[] {
  return [
    aStore({
      id: 'uuid:1111-healthy',
      mount: '/srv/vm',
      sizeGiB: 1843,
      usedGiB: 702,
      keptGiB: 94,
      imagesGiB: 655,
      residualGiB: 512,
      reservedGiB: 40,
      sharedGiB: 12,
      imageCount: 10_000,
      growth: growth(2.1, 5.4),
    }),
    aStore({
      id: 'uuid:2222-near',
      mount: '/srv/fast',
      type: 'xfs',
      sizeGiB: 931,
      usedGiB: 640,
      imagesGiB: 602,
      residualGiB: 238,
      reservedGiB: 20,
      imageCount: 42,
      growth: growth(9, 19),
    }),
    aStore({
      id: 'uuid:3333-over',
      mount: '/srv/overcommitted',
      type: 'xfs',
      sizeGiB: 500,
      usedGiB: 371,
      keptGiB: 6,
      imagesGiB: 350,
      residualGiB: 214,
      reservedGiB: 8,
      imageCount: 31,
      growth: growth(3, 8),
    }),
    aStore({
      id: 'uuid:4444-btrfs',
      mount: '/srv/snap',
      type: 'btrfs',
      sizeGiB: 700,
      usedGiB: 310,
      imagesGiB: 290,
      residualGiB: null,
      imageCount: 9,
      growth: UNKNOWN_GROWTH,
      unknown: 'the residual has no bound on btrfs with snapshots',
      findings: [BTRFS_FINDING],
    }),
    aStore({
      id: 'dev:8:17',
      mount: '/mnt/usb\n\u202egnp.exe',
      sizeGiB: 120,
      usedGiB: 61,
      imagesGiB: 60,
      residualGiB: 3,
      imageCount: 2,
      presence: 'vanished',
      growth: UNKNOWN_GROWTH,
    }),
  ];
}

const NAMES = ['web', 'db', 'mail', 'build', 'git', 'cache', 'backup', 'monitor'];
/** Names of strangers: markup, a line break, a change of direction, an escape sequence, invalid UTF-8. */
export const HOSTILE_NAMES = [
  '<img src=x onerror=alert(1)>.qcow2',
  'two\nlines.qcow2',
  'abc\u202e2wocq.exe',
  '\u001b[31mred\u001b[0m.qcow2',
  'bad\ufffd\udc80utf8.qcow2',
];

/** The images of a store; of them the first few have the names that strangers would choose. */
export function fixtureImages(store: StoreView): ImageView[] {
  return Array.from({ length: store.imageCount }, (_, index) => {
    const hostile = store.id.includes('near') ? HOSTILE_NAMES[index - 3] : undefined;
    const name = hostile ?? `${NAMES[index % NAMES.length]}${String(Math.floor(index / NAMES.length)).padStart(2, '0')}.qcow2`;
    return anImage(store, name, index);
  });
}

function anImage(store: StoreView, name: string, index: number): ImageView {
  const capacity = (20 + (index % 7) * 20) * GiB;
  const allocation = Math.round((capacity * (0.2 + ((index * 37) % 60) / 100)) / 4096) * 4096;
  const metadata = Math.round(capacity / 6000 / 4096) * 4096;
  const commitment = capacity + metadata + 458_752;
  const speed = index % 5 === 4 ? UNKNOWN_GROWTH : growth(((index * 13) % 10) / 10, 0.2 + ((index * 29) % 30) / 10);
  const base = `${store.mount}/base/debian-13.qcow2`;
  const isBase = index === 2;
  const path = isBase ? base : `${store.mount}/${name}`;
  const isUnreadable = store.unreadableCount > 0 && index === 1;
  return {
    id: `${store.id}:${index}`,
    store: store.id,
    path,
    format: 'qcow2',
    formatSource: 'signature',
    capacity: isUnreadable ? null : capacity,
    length: allocation + 3 * 65_536,
    allocation,
    commitment: isUnreadable ? null : commitment,
    expected: capacity + metadata,
    residual: isUnreadable ? null : commitment - allocation,
    reclaimable: 0,
    mapExcess: 0,
    maxLength: commitment + 65_536,
    method: 'map',
    unbounded: [],
    nextSnapshot: { bytes: Math.round(metadata / 2) },
    components: isUnreadable
      ? []
      : [
          component('guest-data', capacity),
          component('l2-tables', metadata),
          component('refcounts', 393_216),
          component('in-place', 61_440),
          component('host-map-growth', 4096),
        ],
    findings:
      index % 6 === 0
        ? [{ level: 'info', code: 'QCOW2_DIRTY', message: 'The image was not closed cleanly, lazy refcounts will be rebuilt' }]
        : [],
    chain:
      index % 3 === 0 && !isBase
        ? [
            {
              role: 'backing',
              depth: 1,
              name: 'base/debian-13.qcow2',
              path: base,
              declaredFormat: 'qcow2',
              format: 'qcow2',
              status: 'opened',
              capacity,
              length: allocation,
              allocation,
            },
          ]
        : [],
    openForWriting: index % 2 === 0,
    details: { 'cluster size': 65_536, version: 3, 'lazy refcounts': false, compression: 'zlib' },
    ...(isUnreadable
      ? {
          error: {
            kind: 'corrupt' as const,
            code: 'QCOW2_L1_OUTSIDE',
            message: 'Cannot read qcow2 L1 table: offset is 0x40000000, expected a place inside the file',
          },
        }
      : {}),
    exclusive: allocation - (index % 4 === 1 ? GiB : 0),
    shared: index % 4 === 1 ? GiB : 0,
    aliases: [],
    backingOf: isBase ? [0, 3, 6].map((at) => `${store.mount}/${NAMES[at % 8]}00.qcow2`) : [],
    neverWritten: isBase ? 'backing' : null,
    machine: index % 2 === 0 ? `vm-${name.replace('.qcow2', '')}` : null,
    growth: speed,
    toCommitment: isUnreadable ? outlook(null, speed, null) : outlook(commitment - allocation, speed, null),
  };
}

/** A year's end of a store's life, up to now, downsample to `points`. */
export function storeHistory(store: StoreView, fromMs: number, toMs: number, points: number): StoreSample[] {
  const span = Math.min(toMs, Date.now()) - fromMs;
  const rate = store.forecast.growth.low === null ? 0 : (store.forecast.growth.low + (store.forecast.growth.high ?? 0)) / 2;
  const count = store.forecast.growth.low === null ? 3 : Math.min(points, 240);
  return Array.from({ length: count }, (_, index) => {
    const atMs = fromMs + (span * index) / count;
    const wobble = Math.sin(index * 1.7) * 0.004 * store.size + Math.sin(index / 9) * 0.008 * store.size;
    const back = Math.min(store.allocation * 0.8, (rate * (Date.now() - atMs)) / 1000 - wobble * (1 - index / count));
    return {
      at: new Date(atMs).toISOString(),
      size: store.size,
      available: Math.round(store.available + back),
      allocation: Math.round(store.allocation - back),
      commitment: store.commitment,
      residual: store.residual === null ? null : Math.round(store.residual + back * 0.6),
      reserved: store.reserved,
    };
  });
}

export function imageHistory(image: ImageView, fromMs: number): ImageSample[] {
  return Array.from({ length: 120 }, (_, index) => {
    const share = 0.55 + (0.45 * index) / 119;
    return {
      at: new Date(fromMs + ((Date.now() - fromMs) * index) / 120).toISOString(),
      length: image.length === null ? null : Math.round(image.length * share),
      allocation: Math.round((image.allocation ?? 0) * share),
      commitment: image.commitment,
    };
  });
}

export function fixtureReservations(): Reservation[] {
  const at = (seconds: number): string => new Date(START_MS + seconds * 1000).toISOString();
  return [
    {
      key: 'ticket-4711',
      store: 'uuid:1111-healthy',
      bytes: 40 * GiB,
      path: '/srv/vm/new-db.qcow2',
      createdAt: at(-400),
      expiresAt: at(3200),
      state: 'held',
    },
    {
      key: 'clone\u202eevil',
      store: 'uuid:2222-near',
      bytes: 20 * GiB,
      path: null,
      createdAt: at(-100),
      expiresAt: at(800),
      state: 'held',
    },
    {
      key: 'ticket-4700',
      store: 'uuid:3333-over',
      bytes: 8 * GiB,
      path: null,
      createdAt: at(-9000),
      expiresAt: at(-5400),
      state: 'expired',
    },
  ];
}
