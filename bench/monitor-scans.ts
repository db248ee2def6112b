/** Measures the first scan pass of a monitor over a directory, unchanged ones, and one after a change; prints the times. */
import { appendFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { StoreMonitor } from '#pool';

export interface Looks {
  readonly firstMs: number;
  readonly unchangedMs: readonly number[];
  readonly changedMs: number;
  /** Longest time that nothing else had its turn, in the first look and in the others. */
  readonly firstBlockedMs: number;
  readonly laterBlockedMs: number;
  readonly residentBytes: number;
}

const UNCHANGED = 10;
/** Until what was just made is old enough to be trusted. */
const AGEING_MS = 2500;

const [, , directory = '.'] = process.argv;
const monitor = new StoreMonitor({ directories: [directory], everyMs: 3_600_000 });
const delay = monitorEventLoopDelay({ resolution: 1 });

async function timed(look: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await look();
  return performance.now() - began;
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

delay.enable();
const firstMs = await timed(() => monitor.start());
await pause(20);
const firstBlockedMs = delay.max / 1e6;
await pause(AGEING_MS);
await monitor.refresh();
delay.reset();
const unchangedMs: number[] = [];
for (let look = 0; look < UNCHANGED; look += 1) {
  unchangedMs.push(await timed(() => monitor.refresh()));
  await pause(20);
}
appendFileSync(monitor.stores()[0]?.report.images[0]?.path ?? '', 'x');
const changedMs = await timed(() => monitor.refresh());
await pause(20);
const looks: Looks = {
  firstMs,
  unchangedMs,
  changedMs,
  firstBlockedMs,
  laterBlockedMs: delay.max / 1e6,
  residentBytes: process.memoryUsage.rss(),
};
console.log(JSON.stringify(looks));
await monitor.close();
