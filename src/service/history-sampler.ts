/** Appends the state of scanned stores to the history, at bounded intervals, and compacts it. */
import type { History } from '#pool';
import type { MonitoredStore } from './monitored-store.ts';

const COMPACT_EVERY_MS = 10 * 60 * 1000;
/** Minimum time between two samples of a store, however often it is scanned. */
const SAMPLE_EVERY_MS = 10_000;

export class HistorySampler {
  readonly #history: History;
  readonly #reservedBytesOf: (store: string) => number;
  readonly #lastSampledAt = new Map<string, number>();
  readonly #pending = new Set<MonitoredStore>();
  #appending: Promise<void> | undefined;
  #compaction: NodeJS.Timeout | undefined;

  constructor(history: History, reservedBytesOf: (store: string) => number) {
    this.#history = history;
    this.#reservedBytesOf = reservedBytesOf;
  }

  startCompaction(): void {
    this.#compaction = setInterval(() => void this.#history.compact(Date.now()), COMPACT_EVERY_MS).unref();
  }

  /** Takes a sample of a store that was just scanned, unless the last one is too recent. */
  sample(store: MonitoredStore, atMs: number): void {
    const last = this.#lastSampledAt.get(store.id);
    const isEarly = last !== undefined && atMs >= last && atMs - last < SAMPLE_EVERY_MS;
    if (store.kept.presence === 'vanished' || isEarly) return;
    this.#lastSampledAt.set(store.id, atMs);
    this.#pending.add(store);
    this.#appending ??= this.#appendAll().finally(() => {
      this.#appending = undefined;
    });
  }

  /** Resolves when everything pending is written. */
  async close(): Promise<void> {
    clearInterval(this.#compaction);
    await this.#appending;
  }

  /** One tick for all stores of one scan; the history takes one tick at a time. */
  async #appendAll(): Promise<void> {
    await Promise.resolve();
    while (this.#pending.size > 0) {
      const pending = [...this.#pending];
      this.#pending.clear();
      const stores = pending.map((store) => store.sample(this.#reservedBytesOf(store.id)));
      const images = pending.flatMap((store) => store.imageSamples());
      await this.#history.append({ atMs: Date.now(), stores, images });
    }
  }
}
