/** What a daemon knows of one store from look to look: its last report, how it grew, how near to trouble it is. */
import type { Alert, Finding, Growth, ImageView, ScannedImage, StoreForecast, StoreReport, StoreRules, StoreView } from '#wire';
import { type StoreFacts, sumOf } from './admission.ts';
import { forecastStore, outlookTo, type SizePoint } from './forecast.ts';
import { GROWTH_WINDOW_MS, GrowthSeries } from './growth-book.ts';
import { imageIdOf } from './image-views.ts';
import type { KeptStore } from './keeper.ts';
import { judgeLevel, type LevelState } from './levels.ts';

/** What is remembered of a store and its images from before the daemon started. */
export interface RememberedGrowth {
  readonly allocation: readonly SizePoint[];
  readonly others: readonly SizePoint[];
  /** By image id. */
  readonly images: ReadonlyMap<string, readonly SizePoint[]>;
}

/** What a look found, against the one before. */
export interface LookChanges {
  readonly changed: ReadonlySet<string>;
  readonly gone: readonly string[];
}

export class StoreRecord {
  readonly id: string;
  rules: StoreRules;
  /** What the daemon itself has noticed of the store, beside what the scan says. */
  remarks: readonly Finding[] = [];
  #kept: KeptStore;
  #level: LevelState | undefined;
  readonly #allocation: GrowthSeries;
  readonly #others: GrowthSeries;
  readonly #imageSeries: Map<string, GrowthSeries>;
  #images: readonly ImageView[] = [];

  constructor(kept: KeptStore, rules: StoreRules, remembered: RememberedGrowth) {
    this.id = kept.report.id;
    this.rules = rules;
    this.#kept = kept;
    this.#allocation = new GrowthSeries(remembered.allocation);
    this.#others = new GrowthSeries(remembered.others);
    this.#imageSeries = new Map([...remembered.images].map(([id, points]) => [id, new GrowthSeries(points)]));
  }

  get kept(): KeptStore {
    return this.#kept;
  }

  get images(): readonly ImageView[] {
    return this.#images;
  }

  /** Images by the names under which they are known: of hard links, each. */
  imageAt(path: string): ImageView | undefined {
    return this.#images.find((image) => image.path === path || image.aliases.includes(path));
  }

  /** Takes over what a look found. */
  look(kept: KeptStore, { changed, gone }: LookChanges, nowMs: number): void {
    const isFirst = this.#images.length === 0;
    this.#kept = kept;
    if (kept.presence === 'vanished') return;
    const { report } = kept;
    this.#allocation.add(nowMs, report.allocation);
    this.#others.add(nowMs, report.size - report.available - report.allocation);
    for (const series of [this.#allocation, this.#others]) series.forget(nowMs - GROWTH_WINDOW_MS);
    for (const path of gone) this.#imageSeries.delete(imageIdOf(this.id, path));
    this.#images = report.images.map((image) => this.#imageView(image, isFirst || changed.has(image.path), nowMs));
  }

  #imageView(image: ScannedImage, isChanged: boolean, nowMs: number): ImageView {
    const id = imageIdOf(this.id, image.path);
    const series = this.#imageSeries.get(id) ?? new GrowthSeries();
    this.#imageSeries.set(id, series);
    if (isChanged && image.allocation !== null) {
      series.add(nowMs, image.allocation);
      series.forget(nowMs - GROWTH_WINDOW_MS);
    }
    const growth = series.growth(nowMs);
    return viewOf(image, {
      id,
      store: this.id,
      machine: this.#kept.machines.get(image.path) ?? null,
      growth,
      toCommitment: outlookTo(image.residual, growth, image.residual),
    });
  }

  /** What the sum that decides is made of, with so many bytes held for images that are not there yet. */
  facts(reserved: number, nowMs: number): StoreFacts {
    const { report } = this.#kept;
    return {
      store: this.id,
      size: report.size,
      available: report.available,
      allocation: report.allocation,
      residual: report.residual,
      reserved,
      growth: this.#allocation.growth(nowMs),
      otherGrowth: this.#others.growth(nowMs),
      doubt: this.#doubt(),
    };
  }

  /** Why nobody can say yes here, whatever the sums are. */
  #doubt(): string | null {
    const { report, presence } = this.#kept;
    if (presence === 'vanished') return 'the store is not there';
    if (report.fits !== null) return null;
    const reason = report.findings.find(({ level }) => level === 'danger') ?? report.findings.find(({ level }) => level === 'warning');
    return reason?.message ?? 'not everything on the store could be read';
  }

  /** Judges the level anew, and gives the alerts that began and ended by that. */
  judge(reserved: number, nowMs: number): { readonly raised: readonly Alert[]; readonly cleared: readonly Alert[] } {
    const before = this.#level?.alerts ?? [];
    const facts = this.facts(reserved, nowMs);
    this.#level = judgeLevel(this.#level, facts, forecastStore(facts, this.rules), this.rules, nowMs);
    const after = this.#level.alerts;
    const has = (alerts: readonly Alert[], { level }: Alert): boolean => alerts.some((one) => one.level === level);
    return {
      raised: after.filter((alert) => !has(before, alert)),
      cleared: before.filter((alert) => !has(after, alert)),
    };
  }

  view(reserved: number, nowMs: number): StoreView {
    const { report, directories, presence, scannedAtMs, scanSeconds } = this.#kept;
    const facts = this.facts(reserved, nowMs);
    const forecast: StoreForecast = forecastStore(facts, this.rules);
    const headroom = report.headroom === null ? null : report.headroom - reserved;
    const { images, ...rest } = report;
    return {
      ...rest,
      floor: this.rules.floor,
      headroom,
      fits: headroom !== null && headroom < 0 ? false : presence === 'vanished' ? null : report.fits,
      findings: [...report.findings, ...this.remarks],
      directories,
      presence,
      imageCount: images.length,
      unreadableCount: images.filter(({ error }) => error !== undefined).length,
      reserved,
      rules: this.rules,
      entitled: report.residual === null ? null : report.allocation + Math.ceil(this.rules.idleShare * report.residual),
      level: this.#level?.level ?? 'unknown',
      alerts: this.#level?.alerts ?? [],
      sum: sumOf(facts, this.rules),
      forecast,
      scannedAt: new Date(scannedAtMs).toISOString(),
      scanSeconds,
    };
  }
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
    maxLength: image.maxLength,
    method: image.method,
    unbounded: image.unbounded,
    nextSnapshot: image.nextSnapshot,
    addends: image.addends,
    findings: image.findings,
    chain: image.chain,
    openForWriting: image.openForWriting,
    details: image.details,
    exclusive: image.exclusive,
    shared: image.shared,
    aliases: image.aliases,
    backingOf: image.backingOf,
    id,
    store,
    machine,
    growth,
    toCommitment,
  };
  return image.error === undefined ? view : { ...view, error: image.error };
}

/** The report of a store that holds, in numbers for its history. */
export function sampleOf(report: StoreReport, reserved: number): Omit<import('#wire').StoreSample, 'at'> {
  const { size, available, allocation, commitment, residual } = report;
  return { size, available, allocation, commitment, residual, reserved };
}
