/** The `StoreService` of a running daemon: what the monitor sees, the ledger holds and the history remembers, put together. */
import { uptime } from 'node:os';
import { basename, dirname, isAbsolute, join, relative } from 'node:path';
import { asPlimsollError, MiB, PlimsollError } from '#base';
import { configureHostId, filesystemOf, type HostFilesystem, hostIdentity, realpaths } from '#host';
import { limitExaminationMemory } from '#sandbox';
import type {
  AdmissionDecision,
  Alert,
  Finding,
  ImagePage,
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
import { admits, explainVerdict, mapsExceed, sumOf } from '../decide/admission.ts';
import { withLargestFile } from '../decide/too-long.ts';
import { LOOK_BACK_SECONDS } from '../decide/growth.ts';
import { type Appeared, HeldSpace } from './held-space.ts';
import { History } from '../state/history.ts';
import { imageIdOf, ImageIndex } from './image-views.ts';
import { StoreMonitor } from '../scan/store-monitor.ts';
import { refuseFile } from '../scan/scan.ts';
import type { StoreSnapshot } from '../scan/store-snapshot.ts';
import { Ledger } from '../state/ledger.ts';
import { MovePlanner, type StandingStore } from './store-moves.ts';
import { type Held, NOTHING_HELD, StoreRecord } from './store-record.ts';
import type { HistoryQuery, ImageQuery, SizedRequest, SizedReservationRequest, StoreService } from './store-service.ts';

/** Directories that are watched under the same rules. */
export interface StoreOrder {
  readonly directories: readonly string[];
  readonly rules: StoreRules;
}

export interface DaemonOptions {
  readonly stores: readonly StoreOrder[];
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

/** Of the 512 MiB that the systemd unit allows, what the tables of images may take while they are examined. */
const EXAMINATION_MEMORY = 64 * MiB;
const COMPACT_EVERY_MS = 10 * 60 * 1000;
/** More changed images than these in one look are told as one event of their store. */
const MAX_IMAGE_EVENTS = 100;
/** A store goes into the history at most so often, however often it is looked at. */
const REMEMBER_EVERY_MS = 10_000;
/** In a message; there can be thousands. */
const NAMED_DIRECTORIES = 5;

/**
 * Watches the stores from now on; the first look at them has begun when this answers.
 *
 * Throws: usage, NOT_A_DIRECTORY; io, conflict, unsupported, for what is wrong with the state directory.
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

type Unhosted<E> = E extends ServeEvent ? Omit<E, 'host'> : never;
type UnhostedEvent = Unhosted<ServeEvent>;

function unknownHost(): Finding[] {
  const host = hostIdentity();
  if (host.id !== null) return [];
  const message = `The id of this host is unknown (${host.unknown ?? ''}): set host_id in [serve].`;
  return [{ level: 'info', code: 'HOST_ID_UNKNOWN', message }];
}

class Daemon implements StoreService {
  readonly #options: DaemonOptions;
  readonly #ledger: Ledger;
  readonly #history: History;
  readonly #monitor: StoreMonitor;
  readonly #records = new Map<string, StoreRecord>();
  readonly #held = new HeldSpace();
  /** Released or expired, while the image may be there and was not seen yet: they hold until a look that began later. When, by performance.now(). */
  readonly #leaving = new Map<Reservation, number>();
  #leavingRevision = 0;
  readonly #reservedSums = new Map<string, { readonly state: string; readonly held: Held }>();
  readonly #planner = new MovePlanner();
  readonly #listeners = new Set<(event: ServeEvent) => void>();
  readonly #startedAt = new Date().toISOString();
  readonly #rememberedAt = new Map<string, number>();
  /** What the history has still to be told. */
  readonly #toRemember = new Set<StoreRecord>();
  #remembering: Promise<void> | undefined;
  /** Made anew when something changed and somebody asks. */
  #index = new ImageIndex([]);
  #isIndexOld = false;
  #compacting: NodeJS.Timeout | undefined;
  #firstLook: Promise<void> = Promise.resolve();
  #hasLooked = false;
  #isClosed = false;

  constructor(options: DaemonOptions, ledger: Ledger, history: History) {
    const { stores, everyMs, fullEveryMs, rawFiles, allowDirectories } = options;
    this.#options = options;
    this.#ledger = ledger;
    this.#history = history;
    this.#monitor = new StoreMonitor({
      directories: stores.flatMap(({ directories }) => directories),
      policyOf: (directories) => this.#orderOf(directories).rules,
      allowDirectories,
      rawFiles,
      everyMs,
      fullEveryMs,
    });
  }

  begin(): void {
    this.#monitor.onScanned((store, changed, gone) => this.#take(store, changed, gone));
    this.#monitor.onProgress(({ store = null, ...progress }) => this.#emit({ type: 'scan', store, ...progress }));
    const over = (): void => {
      this.#hasLooked = true;
    };
    // The monitor reports a failed scan as a finding, and repeats it.
    this.#firstLook = this.#monitor.start().then(over, over);
    this.#compacting = setInterval(() => void this.#history.compact(Date.now()), COMPACT_EVERY_MS);
    this.#compacting.unref();
  }

  ready(): Promise<void> {
    return this.#firstLook;
  }

  // What is asked.

  status(): StatusReport {
    const { version } = this.#options;
    const host = hostIdentity();
    return { schema: 'plimsoll.status/1', version, startedAt: this.#startedAt, host, stores: this.stores(), findings: this.#findings() };
  }

  stores(): readonly StoreView[] {
    const now = Date.now();
    return [...this.#records.values()].map((record) => record.view(this.#reserved(record.id), now));
  }

  store(id: string): StoreView {
    return this.#record(id).view(this.#reserved(id), Date.now());
  }

  images(query: ImageQuery): ImagePage {
    if (query.store !== undefined) this.#record(query.store);
    return this.#images().page(query);
  }

  image(id: string): ImageView {
    const found = this.#images().get(id);
    if (found === undefined) throw unknown('IMAGE_UNKNOWN', 'find image', id, 'the id of an image on a store');
    return found;
  }

  storeHistory(id: string, query: HistoryQuery): readonly StoreSample[] {
    this.#record(id);
    return this.#history.storeSamples(id, query);
  }

  imageHistory(id: string, query: HistoryQuery): readonly ImageSample[] {
    this.image(id);
    return this.#history.imageSamples(id, query);
  }

  alerts(): readonly Alert[] {
    return [...this.#records.values()].flatMap(({ alert }) => alert ?? []);
  }

  reservations({ store, ended }: { readonly store?: string; readonly ended: boolean }): readonly Reservation[] {
    if (store !== undefined) this.#record(store);
    this.#expire();
    return this.#ledger.list(store === undefined ? { ended } : { store, ended });
  }

  async moves(store: string, target: string | undefined): Promise<MovePlan> {
    const standing = (id: string): StandingStore => {
      const record = this.#record(id);
      return { record, facts: record.facts(this.#reserved(id), Date.now()) };
    };
    return this.#planner.plan(standing(store), target === undefined ? undefined : standing(target));
  }

  // What decides.

  async admit(request: SizedRequest): Promise<AdmissionDecision> {
    const record = await this.#lookAgain(request.store);
    return this.#decide(record, request, bytesOn(record, request), this.#reserved(record.id));
  }

  async reserve(request: SizedReservationRequest): Promise<AdmissionDecision> {
    const record = await this.#lookAgain(request.store);
    const path = request.path === undefined ? null : await nameInLooks(request.path, record.kept.directories);
    const { key, ttlSeconds, holder } = request;
    if (path !== null && !this.#ledger.holds(key)) refuseTaken(record, path);
    const bytes = bytesOn(record, request);
    if (request.overcommit === true) this.#refuseMoreThanStore(record, key, bytes);
    // From here to the end of the transaction nothing else runs: what is decided is what is written.
    const others = this.#holding(record.id).filter((one) => one.key !== key || one.state !== 'held');
    const held = { bytes: this.#held.sumBeside(others, { bytes, path }), count: others.length };
    const { decision, reservation } = this.#ledger.reserve({ key, store: record.id, bytes, path, ttlSeconds, holder }, Date.now(), () => {
      const answer = this.#decide(record, request, bytes, held);
      return { hold: answer.admitted === true || request.overcommit === true, answer };
    });
    if (reservation !== null) {
      this.#emit({ type: 'reservation', reservation });
      this.#judge(record);
    }
    return { ...decision.answer, reservation };
  }

  /** Of what is to be held although it does not fit: what can never be there must not keep the space of others. Throws: over-budget, RESERVATION_TOO_LARGE. */
  #refuseMoreThanStore(record: StoreRecord, key: string, bytes: number): void {
    const { size } = record.facts(NOTHING_HELD, Date.now());
    const held = this.#ledger.holds(key) ? 0 : this.#reserved(record.id).bytes;
    if (size <= 0 || held + bytes <= size) return;
    throw new PlimsollError('over-budget', 'RESERVATION_TOO_LARGE', {
      doing: 'reserve space',
      field: 'bytes',
      found: held === 0 ? bytes : `${bytes} in addition to ${held} reserved`,
      expected: `at most ${size} together, the size of the store`,
    });
  }

  release(key: string): Reservation {
    const isHeld = this.#ledger.holds(key);
    const reservation = this.#ledger.release(key, Date.now());
    if (isHeld) this.#letGo(reservation);
    return reservation;
  }

  /** Its image may have been made, behind the back of a look that is going on even: until one has looked for it, it counts. */
  #letGo(reservation: Reservation): void {
    this.#leaving.set(reservation, performance.now());
    this.#leavingRevision += 1;
    this.#emit({ type: 'reservation', reservation });
    // The monitor reports a failed scan as a finding.
    this.#monitor.refresh(reservation.store).catch(() => {});
  }

  #forgetLeft(store: string): void {
    for (const [reservation, atMs] of this.#leaving) {
      if (reservation.store !== store || atMs >= this.#monitor.beganAt) continue;
      this.#leaving.delete(reservation);
      this.#leavingRevision += 1;
      this.#held.forget(reservation);
    }
  }

  #decide(record: StoreRecord, request: SizedRequest, bytes: number, held: Held): AdmissionDecision {
    const { policy, idleShare, assume } = request;
    const facts = record.facts(held, Date.now(), assume);
    const asked = {
      bytes,
      ...(policy === undefined ? {} : { policy }),
      ...(idleShare === undefined ? {} : { idleShare }),
    };
    const sum = sumOf(facts, record.rules, asked);
    const admitted = admits(sum);
    const decision: AdmissionDecision = {
      schema: 'plimsoll.admission/1',
      admitted,
      store: record.id,
      host: hostIdentity().id,
      bytes,
      sum,
      message: explainVerdict(sum, facts, bytes),
      assumed: record.assumed(assume, facts.usualWrites === true && mapsExceed(facts, sum, asked)),
      scannedAt: new Date(record.kept.scannedAtMs).toISOString(),
      reservation: null,
    };
    // Where the bytes are worked out, they are those of one image.
    return typeof request.bytes === 'function' ? withLargestFile(decision, bytes, record.kept.largestNewFile) : decision;
  }

  /** The store, after whatever has changed on it until now is counted. */
  async #lookAgain(store: string): Promise<StoreRecord> {
    await this.#firstLook;
    const id = (await this.#resolve(store)).id;
    await this.#monitor.refresh(id);
    // What ended during the look still counts: see there.
    this.#expire();
    return this.#record(id);
  }

  /** By its id, or by a path on it, which need not be there yet. */
  async #resolve(store: string): Promise<StoreRecord> {
    if (!isAbsolute(store)) return this.#record(store);
    for (let path = store; ; path = dirname(path)) {
      try {
        return this.#recordOf(await filesystemOf(path));
      } catch (thrown) {
        const error = asPlimsollError(thrown, 'find store', path);
        if (error.code === 'STORE_UNKNOWN') throw await this.#notOnAny(store, path);
        if (error.kind !== 'not-found' || path === '/') throw error;
      }
    }
  }

  /** By the superblock first: alone, a copy of a filesystem has the id of its original. */
  #recordOf({ id, device }: HostFilesystem): StoreRecord {
    const mounted = [...this.#records.values()].filter(({ kept }) => kept.presence === 'present');
    return mounted.find(({ kept }) => kept.device === device) ?? this.#record(id);
  }

  // What happens.

  async rescan(store?: string): Promise<void> {
    if (store !== undefined) this.#record(store);
    await this.#monitor.refresh(store, { everything: true }).catch((error: unknown) => {
      // Who asked is gone as well.
      if (!this.#isClosed) throw error;
    });
  }

  subscribe(listener: (event: ServeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#compacting);
    this.#listeners.clear();
    await this.#monitor.close();
    await this.#remembering;
    this.#history.close();
    this.#ledger.close();
  }

  /** What a look found: counted, remembered, told. */
  #take(kept: StoreSnapshot, changed: readonly string[], gone: readonly string[]): void {
    const now = Date.now();
    const { id } = kept.report;
    const isFirst = !this.#records.has(id);
    const record = this.#records.get(id) ?? this.#newRecord(kept, now);
    const before = record.images;
    record.look(kept, changed, (image) => this.#history.pointsOf(id, image, now - LOOK_BACK_SECONDS * 1000), now);
    if (record.images !== before) this.#isIndexOld = true;
    this.#forgetLeft(id);
    this.#expire();
    this.#fulfil(record, now);
    this.#remember(record, now);
    this.#judge(record);
    if (!isFirst) this.#tellImages(record, changed, gone);
  }

  #newRecord(kept: StoreSnapshot, now: number): StoreRecord {
    const { id } = kept.report;
    this.#adopt(kept, now);
    const order = this.#orderOf(kept.directories);
    const others = this.#options.stores.filter(
      (one) => one !== order && one.directories.some((directory) => kept.directories.includes(directory)),
    );
    const remarks = others.flatMap((other) => rulesDiffer(order, other));
    const record = new StoreRecord(kept, { rules: order.rules, remarks }, this.#history.storePoints(id, now - LOOK_BACK_SECONDS * 1000));
    this.#records.set(id, record);
    return record;
  }

  /** What earlier versions stored under another id of this filesystem. */
  #adopt({ report, formerIds }: StoreSnapshot, now: number): void {
    const bootedAtMs = now - 1000 * uptime();
    for (const from of formerIds) {
      if (this.#records.has(from)) continue;
      const isOfThisBoot = from.startsWith('dev:');
      this.#ledger.adopt(from, report.id, { isOfThisBoot });
      const images = report.images.map(({ path }) => [imageIdOf(from, path), imageIdOf(report.id, path)] as const);
      this.#history.adopt(from, report.id, images, isOfThisBoot ? bootedAtMs : Number.NEGATIVE_INFINITY);
    }
  }

  #tellImages(record: StoreRecord, changed: readonly string[], gone: readonly string[]): void {
    if (changed.length + gone.length > MAX_IMAGE_EVENTS) return;
    for (const path of changed) {
      const image = record.imageAt(path);
      if (image !== undefined) this.#emit({ type: 'image', image });
    }
    for (const path of gone) this.#emit({ type: 'image-gone', store: record.id, id: imageIdOf(record.id, path), path });
  }

  #judge(record: StoreRecord): void {
    const now = Date.now();
    const { raised, cleared } = record.judge(this.#reserved(record.id), now);
    if (cleared !== undefined) this.#emit({ type: 'alert', alert: cleared, state: 'cleared' });
    if (raised !== undefined) this.#emit({ type: 'alert', alert: raised, state: 'raised' });
    this.#emit({ type: 'store', store: record.view(this.#reserved(record.id), now) });
  }

  #fulfil(record: StoreRecord, now: number): void {
    const appeared = (path: string): Appeared | undefined => {
      const image = record.imageAt(path);
      if (image === undefined || image.error !== undefined || image.commitment === null) return undefined;
      return { commitment: image.commitment, openForWriting: image.openForWriting === true };
    };
    for (const { key, state } of this.#held.look(this.#holding(record.id), appeared, now)) if (state === 'held') this.#fulfilOne(key, now);
  }

  /** What cannot be written stays held until a later look. */
  #fulfilOne(key: string, now: number): void {
    try {
      this.#end(this.#ledger.fulfil(key, now));
    } catch (error) {
      if (!(error instanceof PlimsollError) || error.code !== 'LEDGER_UNWRITABLE') throw error;
    }
  }

  #expire(): void {
    for (const reservation of this.#ledger.expire(Date.now())) this.#letGo(reservation);
  }

  #end(reservation: Reservation): void {
    this.#held.forget(reservation);
    this.#emit({ type: 'reservation', reservation });
  }

  #remember(record: StoreRecord, atMs: number): void {
    const last = this.#rememberedAt.get(record.id);
    const isEarly = last !== undefined && atMs >= last && atMs - last < REMEMBER_EVERY_MS;
    if (record.kept.presence === 'vanished' || isEarly) return;
    this.#rememberedAt.set(record.id, atMs);
    this.#toRemember.add(record);
    this.#remembering ??= this.#appendAll().finally(() => {
      this.#remembering = undefined;
    });
  }

  /** One tick for all stores of one look, one after another: the history takes one at a time. */
  async #appendAll(): Promise<void> {
    await Promise.resolve();
    while (this.#toRemember.size > 0) {
      const records = [...this.#toRemember];
      this.#toRemember.clear();
      const stores = records.map((record) => record.state(this.#reserved(record.id).bytes));
      const images = records.flatMap((record) => record.imageStates());
      await this.#history.append({ atMs: Date.now(), stores, images });
    }
  }

  #emit(event: UnhostedEvent): void {
    const full: ServeEvent = { ...event, host: hostIdentity().id };
    for (const listener of this.#listeners) listener(full);
  }

  /** Added up anew only when something that is held has changed: every check and every view of a store needs it. */
  #reserved(id: string): Held {
    const mark = this.#ledger.mark;
    const state = mark === undefined ? undefined : `${mark}/${this.#held.revision}/${this.#leavingRevision}`;
    const known = this.#reservedSums.get(id);
    if (state !== undefined && known?.state === state) return known.held;
    const holding = this.#holding(id);
    const held = { bytes: this.#held.sumOf(holding), count: holding.length };
    if (state !== undefined) this.#reservedSums.set(id, { state, held });
    return held;
  }

  /** What holds space on a store. */
  #holding(id: string): Reservation[] {
    return [...this.#ledger.held(id), ...[...this.#leaving.keys()].filter(({ store }) => store === id)];
  }

  #findings(): readonly Finding[] {
    return [
      ...(this.#hasLooked ? [] : [FIRST_SCAN]),
      ...unknownHost(),
      ...this.#monitor.findings(),
      ...this.#ledger.findings(),
      ...this.#history.findings(),
    ];
  }

  #images(): ImageIndex {
    if (this.#isIndexOld)
      this.#index = new ImageIndex(
        [...this.#records.values()].flatMap(({ images }) => images),
        this.#index,
      );
    this.#isIndexOld = false;
    return this.#index;
  }

  #record(id: string): StoreRecord {
    const found = this.#records.get(id);
    if (found === undefined) throw unknown('STORE_UNKNOWN', 'find store', id, 'the id of a monitored store');
    return found;
  }

  /**
   * Of a path: names what is watched, as ids tell people nothing. Below a configured directory that no scan has reached, such
   * as one that was not mounted, the path is watched and its store not known: never the answer that nobody watches it.
   */
  async #notOnAny(path: string, nearest: string): Promise<PlimsollError> {
    const watched = this.#options.stores.flatMap(({ directories }) => directories);
    const scanned = new Set([...this.#records.values()].flatMap(({ kept }) => kept.directories));
    const [real = nearest] = await realpaths([nearest]);
    const unscanned = watched.find((one) => !scanned.has(one) && (isBelow(one, path) || isBelow(one, real)));
    if (unscanned !== undefined) {
      const where = { doing: 'find store', field: 'store', found: path, expected: 'a directory that has been scanned' };
      return new PlimsollError('busy', 'STORE_NOT_SCANNED', { ...where, image: unscanned });
    }
    const more = watched.length > NAMED_DIRECTORIES ? ', ...' : '';
    const expected = `a path on a monitored filesystem: ${watched.slice(0, NAMED_DIRECTORIES).join(', ')}${more}`;
    return unknown('STORE_UNKNOWN', 'find store', path, expected);
  }

  #orderOf(directories: readonly string[]): StoreOrder {
    const found = this.#options.stores.find((order) => order.directories.some((one) => directories.includes(one)));
    return found ?? (this.#options.stores[0] as StoreOrder);
  }
}

function isBelow(directory: string, path: string): boolean {
  const below = relative(directory, path);
  return below !== '..' && !below.startsWith('../');
}

/** As looks will name the image when it is there: they name it by the directory that was configured, which can be a link. */
async function nameInLooks(path: string, directories: readonly string[]): Promise<string> {
  if (!isAbsolute(path)) {
    throw new PlimsollError('usage', 'PATH_RELATIVE', { doing: 'reserve space', field: 'path', found: path, expected: 'an absolute path' });
  }
  const [place] = await realpaths([dirname(path)]);
  if (place === undefined) {
    throw new PlimsollError('not-found', 'DIRECTORY_MISSING', {
      doing: 'reserve space',
      field: 'path',
      found: path,
      expected: 'a path whose parent directory exists',
    });
  }
  for (const directory of directories) {
    const [root] = await realpaths([directory]);
    const below = root === undefined ? '..' : relative(root, place);
    if (below !== '..' && !below.startsWith('../')) return join(directory, below, basename(path));
  }
  return join(place, basename(path));
}

function bytesOn({ kept }: StoreRecord, { bytes }: SizedRequest): number {
  return typeof bytes === 'number' ? bytes : bytes(kept.rules);
}

/** An image that is there would fulfil the reservation as it is, and the space for what is to become of it would be free. */
function refuseTaken(record: StoreRecord, path: string): void {
  if (record.imageAt(path) === undefined) return;
  throw new PlimsollError('conflict', 'IMAGE_THERE', {
    doing: 'reserve space',
    field: 'path',
    found: path,
    expected:
      'a path that does not exist yet; to reserve growth for an existing image, omit the path and release the reservation afterwards',
  });
}

function rulesDiffer(order: StoreOrder, other: StoreOrder): Finding[] {
  if (JSON.stringify(order.rules) === JSON.stringify(other.rules)) return [];
  const [mine, theirs] = [order, other].map(({ directories }) => directories.join(', '));
  const message = `The rules of ${mine} apply to the whole store, including ${theirs}, for which other rules are configured: a store has one set of rules.`;
  return [{ level: 'warning', code: 'RULES_OF_ANOTHER', message }];
}

function unknown(code: 'STORE_UNKNOWN' | 'IMAGE_UNKNOWN', doing: string, found: string, expected: string): PlimsollError {
  return new PlimsollError('not-found', code, { doing, found, expected });
}
