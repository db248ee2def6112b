/** Reports the progress of a long write: a bar on a terminal, periodic lines elsewhere, nothing if it is quick. */
import { progressLine } from './progress-line.ts';
import { progressBar, progressText, RateMeter } from './render/progress.ts';
import type { Session } from './session.ts';

/** A log gets few lines, and none for a short operation. */
const LOG_INTERVAL_MS = 5000;
/** The rate needs no more samples than this, however often the writer reports. */
const SAMPLE_INTERVAL_MS = 50;

export interface WriteProgress {
  update(doneBytes: number, totalBytes: number): void;
  end(): void;
}

export function writeProgress(session: Session, quiet: boolean): WriteProgress {
  if (quiet) return { update: () => {}, end: () => {} };
  const meter = new RateMeter();
  const line = progressLine(process.stderr, session.errorTheme);
  const startedAt = performance.now();
  let sampledAt = Number.NEGATIVE_INFINITY;
  let loggedAt = startedAt;
  return {
    update: (doneBytes, totalBytes) => {
      const now = performance.now();
      if (now - sampledAt < SAMPLE_INTERVAL_MS) return;
      sampledAt = now;
      const progress = { doneBytes, totalBytes, rate: meter.add(now, doneBytes) };
      if (session.errorTheme.terminal) line.show(progressBar(progress, session.errorTheme.width - 1));
      else if (now - loggedAt >= LOG_INTERVAL_MS) {
        loggedAt = now;
        session.warn(progressText(progress).trimStart());
      }
    },
    end: () => line.clear(),
  };
}
