/** The progress of a long write as text: bar, rate and remaining time. */
import { formatBytes } from '#base';

export interface Progress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Bytes per second now; null while unknown. */
  readonly rate: number | null;
}

const MIN_BAR = 10;
const MAX_BAR = 40;

/** `[=====>    ]  42 %  16.8 GiB of 40 GiB  512 MiB/s  46 s left`, in at most `width` columns. */
export function progressBar(progress: Progress, width: number): string {
  const facts = progressText(progress);
  const room = Math.min(MAX_BAR, width - facts.length - 4);
  if (room < MIN_BAR) return facts.slice(0, width);
  const filled = Math.round(share(progress) * room);
  const bar = filled >= room ? '='.repeat(room) : `${'='.repeat(filled)}>`.padEnd(room);
  return `[${bar}]  ${facts}`;
}

/** The same without the bar, for a log. */
export function progressText(progress: Progress): string {
  const { doneBytes, totalBytes, rate } = progress;
  const percent = `${String(Math.floor(share(progress) * 100)).padStart(3)} %`;
  const parts = [percent, `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`];
  if (rate !== null && rate > 0)
    parts.push(`${formatBytes(Math.round(rate))}/s`, `${formatDuration((totalBytes - doneBytes) / rate)} left`);
  return parts.join('  ');
}

function share({ doneBytes, totalBytes }: Progress): number {
  return totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes);
}

/** `46 s`, `3 min 20 s`, `2 h 05 min`. */
export function formatDuration(seconds: number): string {
  const whole = Math.ceil(Math.max(0, seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

/** The rate of the last few seconds: the current speed of the disk, not that of its cache at the start. */
export class RateMeter {
  static readonly WINDOW_MS = 5000;
  readonly #samples: { readonly atMs: number; readonly doneBytes: number }[] = [];

  /** Bytes per second over the window that ends at `atMs`; null until it spans a quarter of a second. */
  add(atMs: number, doneBytes: number): number | null {
    this.#samples.push({ atMs, doneBytes });
    while (this.#samples.length > 2 && atMs - (this.#samples[1]?.atMs ?? atMs) >= RateMeter.WINDOW_MS) this.#samples.shift();
    const oldest = this.#samples[0];
    const elapsedMs = atMs - (oldest?.atMs ?? atMs);
    if (oldest === undefined || elapsedMs < 250) return null;
    return ((doneBytes - oldest.doneBytes) * 1000) / elapsedMs;
  }
}
