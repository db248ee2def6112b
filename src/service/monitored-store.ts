/** One store of a daemon from scan to scan: its last report, its growth, its alert level. */
import { type Assumption, saturated, USUAL_WRITES } from '#base';
import { mapBytesAtMost } from '#sandbox';
import type { Alert, Finding, Growth, ImageView, ScannedImage, StoreRules, StoreView } from '#wire';
import {
  alertOf,
  forecastStore,
  growthOf,
  type ImageState,
  judgeLevel,
  type LevelState,
  MAP_MAY_EXCEED,
  mapsExceed,
  outlookTo,
  reserveOf,
  roomDuring,
  type SizePoint,
  type StoreFacts,
  type StoreSnapshot,
  type StoreState,
  sumOf,
} from '#pool';
import { GrowthSeries } from './growth-series.ts';
import { imageIdOf } from './image-views.ts';

/** Images whose growth is worked out anew in one look, beside those that changed: that of the others is a little older. */
const REFRESHED_AT_ONCE = 200;

/** Sizes over time, from before this look. */
export interface RememberedSizes {
  readonly allocation: readonly SizePoint[];
  readonly available: readonly SizePoint[];
}

/** What reservations hold: bytes, and for how many images. */
export interface Held {
  readonly bytes: number;
  readonly count: number;
}

export const NOTHING_HELD: Held = { bytes: 0, count: 0 };

/** The sizes of an image over time, by its id. */
export type ImageSizes = (id: string) => readonly SizePoint[];

export class MonitoredStore {
  readonly id: string;
  readonly rules: StoreRules;
  readonly #remarks: readonly Finding[];
  #kept: StoreSnapshot;
  #level: LevelState | undefined;
  #alert: Alert | undefined;
  /** Bytes that all images could need beyond the space at the last judgement. */
  #lacking = 0;
  /** What images allocate, and what else fills the store. */
  readonly #allocation: GrowthSeries;
  readonly #others: GrowthSeries;
  #images: readonly ImageView[] = [];
  #byPath: ReadonlyMap<string, ImageView> = new Map();
  #unreadableCount = 0;
  /** By what they show: a row of which nothing changed is the same object from look to look. */
  readonly #views = new WeakMap<ScannedImage, ImageView>();
  /** What images are called, by path: a digest for each would be most of the work. */
  #ids: ReadonlyMap<string, string> = new Map();
  readonly #growths = new Map<string, Growth>();
  /** Where the next look goes on with refreshing growths. */
  #refreshFrom = 0;

  /** `remarks`: what the daemon has noticed of the store, beside what looks say. */
  constructor(kept: StoreSnapshot, { rules, remarks }: { rules: StoreRules; remarks: readonly Finding[] }, remembered: RememberedSizes) {
    this.id = kept.report.id;
    this.rules = rules;
    this.#remarks = remarks;
    this.#kept = kept;
    this.#allocation = new GrowthSeries(remembered.allocation);
    this.#others = new GrowthSeries(
      remembered.allocation.map(({ atMs, bytes }, index) => ({ atMs, bytes: -bytes - (remembered.available[index]?.bytes ?? 0) })),
    );
  }

  get kept(): StoreSnapshot {
    return this.#kept;
  }

  get images(): readonly ImageView[] {
    return this.#images;
  }

  get alert(): Alert | undefined {
    return this.#alert;
  }

  /** The image by one of the names under which it is known: of hard links, each. */
  imageAt(path: string): ImageView | undefined {
    return this.#byPath.get(path);
  }

  /** Takes over what a look found. */
  look(kept: StoreSnapshot, changed: readonly string[], sizes: ImageSizes, nowMs: number): void {
    const before = this.#kept;
    this.#kept = kept;
    if (kept.presence === 'vanished') return;
    const { report } = kept;
    this.#allocation.add(nowMs, report.allocation);
    // Only how it changes counts: the size of the filesystem is left out.
    this.#others.add(nowMs, -report.available - report.allocation);
    const isSame = before.report.images === report.images && changed.length === 0 && this.#images.length > 0;
    if (isSame) return;
    this.#ids = new Map(report.images.map(({ path }) => [path, this.#ids.get(path) ?? imageIdOf(this.id, path)]));
    this.#refreshGrowths(changed, sizes, nowMs);
    this.#images = report.images.map((image) => this.#imageView(image));
    this.#byPath = byEachName(this.#images);
    this.#unreadableCount = report.images.filter(({ error }) => error !== undefined).length;
  }

  #refreshGrowths(changed: readonly string[], sizes: ImageSizes, nowMs: number): void {
    const ids = [...this.#ids.values()];
    const others = ids.slice(this.#refreshFrom, this.#refreshFrom + REFRESHED_AT_ONCE);
    this.#refreshFrom = this.#refreshFrom + REFRESHED_AT_ONCE >= ids.length ? 0 : this.#refreshFrom + REFRESHED_AT_ONCE;
    for (const id of [...changed.flatMap((path) => this.#ids.get(path) ?? []), ...others]) {
      const growth = growthOf(sizes(id), nowMs);
      this.#growths.set(id, growth.samples === 0 ? NO_SAMPLES : growth);
    }
    if (this.#growths.size <= ids.length) return;
    const known = new Set(ids);
    for (const id of this.#growths.keys()) if (!known.has(id)) this.#growths.delete(id);
  }

  #imageView(image: ScannedImage): ImageView {
    const id = this.#ids.get(image.path) as string;
    const growth = this.#growths.get(id) ?? NOT_SEEN;
    const machine = this.#kept.machines.get(image.path) ?? null;
    const before = this.#views.get(image);
    if (before?.growth === growth && before.machine === machine) return before;
    const view = viewOf(image, { id, store: this.id, machine, growth, toCommitment: outlookTo(image.residual, growth, image.residual) });
    this.#views.set(image, view);
    return view;
  }

  /** What the sum that decides is made of, with `held` for future images, and `assume` declared for this answer. */
  facts(held: Held, nowMs: number, assume: readonly Assumption[] = []): StoreFacts {
    const { report, presence, assuming, rules } = this.#kept;
    return {
      store: this.id,
      size: report.size,
      available: this.#available(held.bytes),
      allocation: report.allocation,
      residual: report.residual,
      // Where the scan says no without knowing all, its headroom rests on what is known.
      ...(report.residual === null && report.headroom !== null
        ? { residualAtLeast: Math.max(0, report.available - report.floor - report.headroom) }
        : {}),
      reserved: held.bytes,
      mapExcess: saturated(report.mapExcess + mapBytesAtMost(rules, held.bytes, held.count)),
      mapBytes: (bytes, files) => mapBytesAtMost(rules, bytes, files),
      usualWrites: [...this.rules.assume, ...assume].includes(USUAL_WRITES),
      growth: this.#allocation.growth(nowMs),
      otherGrowth: this.#others.growth(nowMs),
      caveat: this.#caveat(assume),
      ...(presence === 'present' ? reserveOf({ ...report, ...(assume.length === 0 ? {} : assuming(assume)) }) : {}),
    };
  }

  /** With so many bytes held, as `roomDuring` has it; a store that lacked room lacks as much until something else is certain. */
  #available(reserved: number): number {
    const { report, room } = this.#kept;
    if (report.residual === null) return report.available;
    return roomDuring(room, report.residual + this.rules.floor + reserved - this.#lacking);
  }

  /** Why the answer can never be yes here, whatever the sums are. */
  #caveat(assume: readonly Assumption[]): string | null {
    const { report, presence, assuming } = this.#kept;
    if (presence === 'vanished') return 'the store has disappeared';
    // Whether the maps fit depends on the request, and on the policy: the sum decides that.
    const { fits } = report.fits === true ? report : assuming([...assume, USUAL_WRITES]);
    const findings = (assume.length === 0 ? report : assuming(assume)).findings.filter(({ code }) => code !== MAP_MAY_EXCEED);
    // A no with room left is about a single image: what else fits is then no promise either.
    if (fits === true || (fits === false && (report.headroom ?? -1) < 0)) return null;
    const reason = findings.find(({ level }) => level === 'critical') ?? findings.find(({ level }) => level === 'warning');
    return reason?.message ?? 'a part of the store could not be read';
  }

  /** The declarations that an answer rests on, with `assume` declared for it. */
  assumed(assume: readonly Assumption[] = [], restsOnUsualWrites = false): readonly Assumption[] {
    const { report, assuming } = this.#kept;
    const { assumed } = assume.length === 0 ? report : assuming(assume);
    return restsOnUsualWrites ? [...new Set([...assumed, USUAL_WRITES])].sort() : assumed;
  }

  /** Judges the level anew, and gives the alert that began or ended by that. */
  judge(held: Held, nowMs: number): { readonly raised: Alert | undefined; readonly cleared: Alert | undefined } {
    const facts = this.facts(held, nowMs);
    if (this.#kept.presence === 'present') {
      this.#lacking = facts.residual === null ? 0 : Math.max(0, facts.residual + this.rules.floor + held.bytes - facts.available);
    }
    const forecast = forecastStore(facts, this.rules);
    const before = this.#alert;
    this.#level = judgeLevel(this.#level, facts, forecast, this.rules, nowMs);
    this.#alert = alertOf(this.#level, facts, forecast, this.rules);
    const isSame = before?.level === this.#alert?.level;
    return { raised: isSame ? undefined : this.#alert, cleared: isSame ? undefined : before };
  }

  /** As its history remembers it. */
  sample(reserved: number): StoreState {
    const { size, available, allocation, commitment, residual } = this.#kept.report;
    return { id: this.id, size, available, allocation, commitment, residual, reserved };
  }

  imageSamples(): ImageState[] {
    return this.#images.flatMap(({ id, path, length, allocation, commitment }) =>
      allocation === null ? [] : [{ id, storeId: this.id, path, length, allocation, commitment }],
    );
  }

  /** Whether the promise holds with what is reserved: the answer of the report, less where that takes more. */
  #fits(facts: StoreFacts, headroom: number | null): boolean | null {
    const { report, presence } = this.#kept;
    if (headroom !== null && headroom < 0) return false;
    if (presence === 'vanished') return null;
    const isUncovered = facts.usualWrites !== true && mapsExceed(facts, { policy: 'promise', remaining: headroom });
    return report.fits === true && isUncovered ? null : report.fits;
  }

  view(held: Held, nowMs: number): StoreView {
    const reserved = held.bytes;
    const { report, directories, presence, scannedAtMs, scanSeconds } = this.#kept;
    const facts = this.facts(held, nowMs);
    const headroom = report.headroom === null ? null : saturated(report.headroom + facts.available - report.available - reserved);
    const { images, ...rest } = report;
    return {
      ...rest,
      available: facts.available,
      floor: this.rules.floor,
      headroom,
      fits: this.#fits(facts, headroom),
      findings: [...report.findings, ...this.#remarks],
      directories,
      presence,
      imageCount: images.length,
      unreadableCount: this.#unreadableCount,
      reserved,
      rules: this.rules,
      entitled: report.residual === null ? null : saturated(report.allocation + Math.ceil(this.rules.idleShare * report.residual)),
      level: presence === 'vanished' ? 'unknown' : (this.#level?.level ?? 'unknown'),
      alerts: this.#alert === undefined ? [] : [this.#alert],
      sum: sumOf(facts, this.rules),
      forecast: forecastStore(facts, this.rules),
      scannedAt: new Date(scannedAtMs).toISOString(),
      scanSeconds,
    };
  }
}

function byEachName(images: readonly ImageView[]): Map<string, ImageView> {
  const byName = new Map<string, ImageView>();
  for (const image of images) {
    byName.set(image.path, image);
    for (const alias of image.aliases) byName.set(alias, image);
  }
  return byName;
}

interface ViewRest {
  readonly id: string;
  readonly store: string;
  readonly machine: string | null;
  readonly growth: Growth;
  readonly toCommitment: ImageView['toCommitment'];
}

/** Field by field, as in `sandbox/examine.ts`: a store has thousands of images. */
function viewOf(image: ScannedImage, { id, store, machine, growth, toCommitment }: ViewRest): ImageView {
  const view = {
    path: image.path,
    format: image.format,
    formatSource: image.formatSource,
    capacity: image.capacity,
    length: image.length,
    allocation: image.allocation,
    commitment: image.commitment,
    expected: image.expected,
    residual: image.residual,
    reclaimable: image.reclaimable,
    mapExcess: image.mapExcess,
    maxLength: image.maxLength,
    method: image.method,
    unbounded: image.unbounded,
    nextSnapshot: image.nextSnapshot,
    components: image.components,
    findings: image.findings,
    chain: image.chain,
    openForWriting: image.openForWriting,
    details: image.details,
    exclusive: image.exclusive,
    shared: image.shared,
    aliases: image.aliases,
    backingOf: image.backingOf,
    neverWritten: image.neverWritten,
    id,
    store,
    machine,
    growth,
    toCommitment,
  };
  return image.error === undefined ? view : { ...view, error: image.error };
}

/** One for all that have none: thousands of images do without a growth of their own. */
const NO_SAMPLES: Growth = growthOf([], 0);
const NOT_SEEN: Growth = { low: null, high: null, samples: 0, spanSeconds: 0, unknown: 'It has not been observed before.' };
