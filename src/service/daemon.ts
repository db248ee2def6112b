/** A running daemon: starts and stops its parts, and connects scans, reservations, history and events. The use cases are beside it. */
import { uptime } from 'node:os';
import { join } from 'node:path';
import { MiB, PlimsollError } from '#base';
import { configureHostId, hostIdentity } from '#host';
import { History, Ledger, LOOK_BACK_SECONDS, refuseFile, StoreMonitor, type StoreSnapshot } from '#pool';
import { limitExaminationMemory } from '#sandbox';
import type {
  AdmissionDecision,
  AdmissionRequest,
  Alert,
  Finding,
  HistoryQuery,
  ImagePage,
  ImageQuery,
  ImageSample,
  ImageView,
  MovePlan,
  Reservation,
  ServeEvent,
  StatusReport,
  StoreRules,
  StoreSample,
  StoreView,
} from '#wire';
import { type AdmissionContext, checkAdmission, reserve } from './admission.ts';
import { EventBus } from './event-bus.ts';
import { HistorySampler } from './history-sampler.ts';
import { imageIdOf, ImageIndex } from './image-views.ts';
import { MonitoredStore } from './monitored-store.ts';
import { ReservationBook } from './reservation-book.ts';
import type { Appeared } from './reserved-space.ts';
import { StoreDirectory } from './store-directory.ts';
import { MovePlanner, type StandingStore } from './store-moves.ts';
import type { HeldRequest, ReservationsQuery, StoreService } from './store-service.ts';

/** Directories that are monitored under the same rules. */
export interface StoreConfig {
  readonly directories: readonly string[];
  readonly rules: StoreRules;
}

export interface DaemonOptions {
  readonly stores: readonly StoreConfig[];
  /** Where ledger and history lie. */
  readonly stateDirectory: string;
  readonly version: string;
  /** Instead of the id derived from the machine id. */
  readonly hostId?: string | undefined;
  readonly allowDirectories: readonly string[];
  readonly rawFiles: readonly string[];
  /** Between two looks at what changed, and between two at everything. */
  readonly everyMs: number;
  readonly fullEveryMs: number;
}

/** Share of the 512 MiB of the systemd unit for the tables of images while they are examined. */
const EXAMINATION_MEMORY = 64 * MiB;
/** With more changed images than this, a scan is reported by one event of the store. */
const MAX_IMAGE_EVENTS = 100;

/**
 * Starts to monitor the stores. The initial scan is running when this resolves.
 *
 * Throws: usage, NOT_A_DIRECTORY, HOST_ID_INVALID; io, conflict, unsupported, for the state directory.
 */
export async function openDaemon(options: DaemonOptions): Promise<StoreService> {
  for (const directory of options.stores.flatMap(({ directories }) => directories)) refuseFile(directory);
  configureHostId(options.hostId);
  limitExaminationMemory(EXAMINATION_MEMORY);
  const ledger = await Ledger.open(join(options.stateDirectory, 'ledger.sqlite'));
  const history = await History.open(join(options.stateDirectory, 'history.sqlite')).catch((error: unknown) => {
    ledger.close();
    throw error;
  });
  const daemon = new Daemon(options, ledger, history);
  daemon.begin();
  return daemon;
}

const FIRST_SCAN: Finding = {
  level: 'info',
  code: 'FIRST_SCAN_RUNNING',
  message: 'Initial scan in progress: the content of the stores is not known yet.',
};

class Daemon implements StoreService {
  readonly #options: DaemonOptions;
  readonly #ledger: Ledger;
  readonly #history: History;
  readonly #monitor: StoreMonitor;
  readonly #stores: StoreDirectory;
  readonly #reservations: ReservationBook;
  readonly #sampler: HistorySampler;
  readonly #events = new EventBus();
  readonly #planner = new MovePlanner();
  readonly #admission: AdmissionContext;
  readonly #startedAt = new Date().toISOString();
  /** Rebuilt by the next query after a change. */
  #index = new ImageIndex([]);
  #isIndexStale = false;
  #firstScan: Promise<void> = Promise.resolve();
  #hasScanned = false;
  #isClosed = false;

  constructor(options: DaemonOptions, ledger: Ledger, history: History) {
    const { stores, everyMs, fullEveryMs, rawFiles, allowDirectories } = options;
    const directories = stores.flatMap((one) => one.directories);
    this.#options = options;
    this.#ledger = ledger;
    this.#history = history;
    this.#stores = new StoreDirectory(directories);
    this.#reservations = new ReservationBook(ledger, (reservation) => this.#onEnded(reservation));
    this.#sampler = new HistorySampler(history, (store) => this.#reservations.heldOn(store).bytes);
    this.#admission = {
      reservations: this.#reservations,
      scanned: (store) => this.#scanned(store),
      onReserved: (reservation, store) => {
        this.#events.emit({ type: 'reservation', reservation });
        this.#judge(store);
      },
    };
    const policyOf = (found: readonly string[]): StoreRules => this.#configOf(found).rules;
    this.#monitor = new StoreMonitor({ directories, policyOf, allowDirectories, rawFiles, everyMs, fullEveryMs });
  }

  begin(): void {
    this.#monitor.onScanned((store, changed, gone) => this.#take(store, changed, gone));
    this.#monitor.onProgress(({ store = null, ...progress }) => this.#events.emit({ type: 'scan', store, ...progress }));
    const ended = (): void => {
      this.#hasScanned = true;
    };
    // The monitor reports a failed scan as a finding, and repeats it.
    this.#firstScan = this.#monitor.start().then(ended, ended);
    this.#sampler.startCompaction();
  }

  ready(): Promise<void> {
    return this.#firstScan;
  }

  // Queries.

  async status(): Promise<StatusReport> {
    const { version } = this.#options;
    const stores = await this.queryStores();
    return {
      schema: 'plimsoll.status/1',
      version,
      startedAt: this.#startedAt,
      host: hostIdentity(),
      stores,
      findings: this.#findings(),
    };
  }

  async queryStores(): Promise<readonly StoreView[]> {
    const now = Date.now();
    return this.#stores.all.map((store) => store.view(this.#reservations.heldOn(store.id), now));
  }

  async queryStore(id: string): Promise<StoreView> {
    return this.#stores.get(id).view(this.#reservations.heldOn(id), Date.now());
  }

  async queryImages(query: ImageQuery): Promise<ImagePage> {
    if (query.store !== undefined) this.#stores.get(query.store);
    return this.#images().page(query);
  }

  async queryImage(id: string): Promise<ImageView> {
    const found = this.#images().get(id);
    if (found !== undefined) return found;
    throw new PlimsollError('not-found', 'IMAGE_UNKNOWN', { doing: 'find image', found: id, expected: 'the id of an image on a store' });
  }

  async storeHistory(id: string, query: HistoryQuery): Promise<readonly StoreSample[]> {
    this.#stores.get(id);
    return this.#history.storeSamples(id, query);
  }

  async imageHistory(id: string, query: HistoryQuery): Promise<readonly ImageSample[]> {
    await this.queryImage(id);
    return this.#history.imageSamples(id, query);
  }

  async queryAlerts(): Promise<readonly Alert[]> {
    return this.#stores.all.flatMap(({ alert }) => alert ?? []);
  }

  async queryReservations({ store, ended }: ReservationsQuery): Promise<readonly Reservation[]> {
    if (store !== undefined) this.#stores.get(store);
    this.#reservations.expire();
    return this.#reservations.list(store === undefined ? { ended } : { store, ended });
  }

  async planMoves(store: string, target?: string): Promise<MovePlan> {
    const standing = (id: string): StandingStore => {
      const record = this.#stores.get(id);
      return { record, facts: record.facts(this.#reservations.heldOn(id), Date.now()) };
    };
    return this.#planner.plan(standing(store), target === undefined ? undefined : standing(target));
  }

  subscribe(listener: (event: ServeEvent) => void): () => void {
    return this.#events.subscribe(listener);
  }

  // Actions.

  checkAdmission(request: AdmissionRequest): Promise<AdmissionDecision> {
    return checkAdmission(this.#admission, request);
  }

  reserve(request: HeldRequest): Promise<AdmissionDecision> {
    return reserve(this.#admission, request);
  }

  async release(key: string): Promise<Reservation> {
    return this.#reservations.release(key);
  }

  async rescan(store?: string): Promise<void> {
    if (store !== undefined) this.#stores.get(store);
    await this.#monitor.refresh(store, { everything: true }).catch((error: unknown) => {
      // After close() there is no client to report it to.
      if (!this.#isClosed) throw error;
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#events.close();
    await this.#monitor.close();
    await this.#sampler.close();
    this.#history.close();
    this.#ledger.close();
  }

  /** The store, after a scan for changes. */
  async #scanned(store: string): Promise<MonitoredStore> {
    await this.#firstScan;
    const { id } = await this.#stores.resolve(store);
    await this.#monitor.refresh(id);
    // Reservations that expired during the scan still count.
    this.#reservations.expire();
    return this.#stores.get(id);
  }

  // Events of the parts.

  /** After each scan, once for each store. */
  #take(kept: StoreSnapshot, changed: readonly string[], gone: readonly string[]): void {
    const now = Date.now();
    const { id } = kept.report;
    const known = this.#stores.find(id);
    const store = known ?? this.#newStore(kept, now);
    const before = store.images;
    store.look(kept, changed, (image) => this.#history.pointsOf(id, image, now - LOOK_BACK_SECONDS * 1000), now);
    if (store.images !== before) this.#isIndexStale = true;
    this.#reservations.dropReleased(id, this.#monitor.beganAt);
    this.#reservations.expire();
    this.#reservations.fulfil(id, (path) => appearedOn(store, path), now);
    this.#sampler.sample(store, now);
    this.#judge(store);
    if (known !== undefined) this.#emitImages(store, changed, gone);
  }

  #newStore(kept: StoreSnapshot, now: number): MonitoredStore {
    const { id } = kept.report;
    this.#adopt(kept, now);
    const config = this.#configOf(kept.directories);
    const others = this.#options.stores.filter(
      (one) => one !== config && one.directories.some((directory) => kept.directories.includes(directory)),
    );
    const remarks = others.flatMap((other) => rulesDiffer(config, other));
    const remembered = this.#history.storePoints(id, now - LOOK_BACK_SECONDS * 1000);
    const store = new MonitoredStore(kept, { rules: config.rules, remarks }, remembered);
    this.#stores.add(store);
    return store;
  }

  /** Data that earlier versions stored under another id of this filesystem. */
  #adopt({ report, formerIds }: StoreSnapshot, now: number): void {
    const bootedAtMs = now - 1000 * uptime();
    for (const from of formerIds) {
      if (this.#stores.find(from) !== undefined) continue;
      const isOfThisBoot = from.startsWith('dev:');
      this.#ledger.adopt(from, report.id, { isOfThisBoot });
      const images = report.images.map(({ path }) => [imageIdOf(from, path), imageIdOf(report.id, path)] as const);
      this.#history.adopt(from, report.id, images, isOfThisBoot ? bootedAtMs : Number.NEGATIVE_INFINITY);
    }
  }

  #emitImages(store: MonitoredStore, changed: readonly string[], gone: readonly string[]): void {
    if (changed.length + gone.length > MAX_IMAGE_EVENTS) return;
    for (const path of changed) {
      const image = store.imageAt(path);
      if (image !== undefined) this.#events.emit({ type: 'image', image });
    }
    for (const path of gone) this.#events.emit({ type: 'image-gone', store: store.id, id: imageIdOf(store.id, path), path });
  }

  #judge(store: MonitoredStore): void {
    const now = Date.now();
    const held = this.#reservations.heldOn(store.id);
    const { raised, cleared } = store.judge(held, now);
    if (cleared !== undefined) this.#events.emit({ type: 'alert', alert: cleared, state: 'cleared' });
    if (raised !== undefined) this.#events.emit({ type: 'alert', alert: raised, state: 'raised' });
    this.#events.emit({ type: 'store', store: store.view(held, now) });
  }

  #onEnded(reservation: Reservation): void {
    this.#events.emit({ type: 'reservation', reservation });
    // Its image may exist by now. The monitor reports a failed scan as a finding.
    if (reservation.state !== 'fulfilled') this.#monitor.refresh(reservation.store).catch(() => {});
  }

  #findings(): readonly Finding[] {
    const first = this.#hasScanned ? [] : [FIRST_SCAN];
    return [...first, ...unknownHost(), ...this.#monitor.findings(), ...this.#ledger.findings(), ...this.#history.findings()];
  }

  #images(): ImageIndex {
    if (this.#isIndexStale)
      this.#index = new ImageIndex(
        this.#stores.all.flatMap(({ images }) => images),
        this.#index,
      );
    this.#isIndexStale = false;
    return this.#index;
  }

  #configOf(directories: readonly string[]): StoreConfig {
    const found = this.#options.stores.find((config) => config.directories.some((one) => directories.includes(one)));
    return found ?? (this.#options.stores[0] as StoreConfig);
  }
}

function appearedOn(store: MonitoredStore, path: string): Appeared | undefined {
  const image = store.imageAt(path);
  if (image === undefined || image.error !== undefined || image.commitment === null) return undefined;
  return { commitment: image.commitment, openForWriting: image.openForWriting === true };
}

function unknownHost(): Finding[] {
  const host = hostIdentity();
  if (host.id !== null) return [];
  const message = `The id of this host is unknown (${host.unknown ?? ''}): set host_id in [serve].`;
  return [{ level: 'info', code: 'HOST_ID_UNKNOWN', message }];
}

function rulesDiffer(config: StoreConfig, other: StoreConfig): Finding[] {
  if (JSON.stringify(config.rules) === JSON.stringify(other.rules)) return [];
  const [mine, theirs] = [config, other].map(({ directories }) => directories.join(', '));
  const message = `The rules of ${mine} apply to the whole store, including ${theirs}, for which other rules are configured: a store has one set of rules.`;
  return [{ level: 'warning', code: 'RULES_OF_ANOTHER', message }];
}
