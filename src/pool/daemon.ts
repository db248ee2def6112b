/**
 * PLACEHOLDER, to be replaced whole by the lead's class Daemon: scans, and answers from the last scan with S1's sum.
 * No history, no ledger on disk, no changes noticed.
 */
import { resolve } from 'node:path';
import { PlimsollError } from '#base';
import type { AdmissionDecision, Growth, ImageView, Outlook, Reservation, ScanReport, ServeEvent, StoreRules, StoreView } from '#wire';
import { admits, explainVerdict, type StoreFacts, sumOf } from './admission.ts';
import { scan } from './scan.ts';
import type { SizedRequest, SizedReservationRequest, Watch } from './watch.ts';

/** Directories that are watched, under one set of rules. */
export interface WatchedStore {
  readonly directories: readonly string[];
  readonly rules: StoreRules;
}

export interface DaemonOptions {
  readonly stores: readonly WatchedStore[];
  readonly stateDirectory: string;
  readonly everyMs: number;
  readonly fullEveryMs: number;
  readonly rawFiles: readonly string[];
  readonly allowDirectories: readonly string[];
  readonly version: string;
}

const GROWTH: Growth = { low: null, high: null, samples: 0, spanSeconds: 0, unknown: 'no history yet' };
const UNKNOWN: Outlook = { outcome: 'unknown', earliest: null, latest: null, reason: 'no history yet' };

export async function openDaemon(options: DaemonOptions): Promise<Watch> {
  const startedAt = new Date().toISOString();
  const held = new Map<string, Reservation>();
  const listeners = new Set<(event: ServeEvent) => void>();
  let report: ScanReport | undefined;
  let scannedAt = startedAt;
  const rescan = async (): Promise<void> => {
    const directories = options.stores.flatMap((one) => one.directories);
    const { rawFiles, allowDirectories } = options;
    for await (const event of scan(directories, { rawFiles, allowDirectories })) if (event.type === 'report') report = event.report;
    scannedAt = new Date().toISOString();
    for (const store of stores()) for (const listener of listeners) listener({ type: 'store', store });
  };
  const rulesOf = (): StoreRules => (options.stores[0] as WatchedStore).rules;
  const reservedBytes = (store: string, except?: string): number =>
    [...held.values()].filter((one) => one.store === store && one.key !== except).reduce((sum, one) => sum + one.bytes, 0);
  const factsOf = (
    { id, size, available, allocation, residual }: StoreView | ScanReport['stores'][number],
    except?: string,
  ): StoreFacts => ({
    store: id,
    size,
    available,
    allocation,
    residual,
    reserved: reservedBytes(id, except),
    growth: GROWTH,
    otherGrowth: GROWTH,
    doubt: residual === null ? 'an image cannot be read' : null,
  });
  const stores = (): StoreView[] =>
    (report?.stores ?? []).map(({ images, ...store }) => {
      const sum = sumOf(factsOf({ ...store, images }), rulesOf());
      return {
        ...store,
        directories: options.stores.flatMap((one) => one.directories),
        presence: 'present',
        imageCount: images.length,
        unreadableCount: images.filter((one) => one.error !== undefined).length,
        reserved: reservedBytes(store.id),
        rules: rulesOf(),
        entitled: null,
        level: store.fits === null ? 'unknown' : 'ok',
        alerts: [],
        sum,
        forecast: { growth: GROWTH, toWarning: UNKNOWN, toCritical: UNKNOWN, toFloor: UNKNOWN, toFull: UNKNOWN },
        scannedAt,
        scanSeconds: null,
      };
    });
  const store = (name: string): StoreView => {
    const found = stores().find(
      ({ id, directories }) => id === name || directories.some((one) => `${resolve(name)}/`.startsWith(`${resolve(one)}/`)),
    );
    if (found === undefined) throw new PlimsollError('not-found', 'STORE_UNKNOWN', { doing: 'look up the store', found: name });
    return found;
  };
  const views = (): ImageView[] =>
    (report?.stores ?? []).flatMap(({ id, images }) =>
      images.map((one) => ({
        ...one,
        id: Buffer.from(one.path).toString('base64url'),
        store: id,
        machine: null,
        growth: GROWTH,
        toCommitment: UNKNOWN,
      })),
    );
  const image = (id: string): ImageView => {
    const found = views().find((one) => one.id === id);
    if (found === undefined) throw new PlimsollError('not-found', 'IMAGE_UNKNOWN', { doing: 'look up the image', found: id });
    return found;
  };
  const decide = (request: SizedRequest, reservation: Reservation | null): AdmissionDecision => {
    const view = store(request.store);
    const facts = factsOf(view, reservation?.key);
    const sum = sumOf(facts, view.rules, request);
    const { bytes } = request;
    return {
      schema: 'plimsoll.admission/1',
      admitted: admits(sum, facts),
      store: view.id,
      bytes,
      sum,
      message: explainVerdict(sum, facts, bytes),
      scannedAt,
      reservation,
    };
  };
  const reserve = (request: SizedReservationRequest): AdmissionDecision => {
    const decision = decide(request, held.get(request.key) ?? null);
    if (decision.reservation !== null || (decision.admitted !== true && request.overcommit !== true)) return decision;
    const now = Date.now();
    const reservation: Reservation = {
      key: request.key,
      store: decision.store,
      bytes: request.bytes,
      path: request.path ?? null,
      createdAt: new Date(now).toISOString(),
      expiresAt: new Date(now + request.ttlSeconds * 1000).toISOString(),
      state: 'held',
    };
    held.set(request.key, reservation);
    return { ...decision, reservation };
  };
  const first = rescan();
  first.catch(() => {});
  return {
    status: () => ({ schema: 'plimsoll.status/1', version: options.version, startedAt, stores: stores(), findings: [] }),
    stores,
    store,
    images: ({ offset, limit, store: only }) => {
      const all = views().filter((one) => only === undefined || one.store === only);
      return { total: all.length, offset, images: all.slice(offset, offset + limit) };
    },
    image,
    storeHistory: (id) => (store(id), []),
    imageHistory: (id) => (image(id), []),
    admit: async (request) => {
      await rescan();
      return decide(request, null);
    },
    reserve: async (request) => {
      await rescan();
      return reserve(request);
    },
    release: (key) => {
      const found = held.get(key);
      if (found === undefined)
        throw new PlimsollError('not-found', 'RESERVATION_UNKNOWN', { doing: 'release the reservation', found: key });
      held.delete(key);
      return { ...found, state: 'released' };
    },
    reservations: () => [...held.values()],
    moves: (id) => ({ store: store(id).id, lacking: null, moves: [], lackingAfter: null, remark: 'no beneficial move' }),
    alerts: () => [],
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    rescan: () => rescan(),
    close: async () => {},
  };
}
