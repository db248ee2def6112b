/** Findings of the monitor about itself rather than about images. */
import { resolve } from 'node:path';
import type { PlimsollError } from '#base';
import { statPath, type WatchLack } from '#host';
import type { Finding } from '#wire';

/** Where each named directory leads, all links resolved: at first, and now. */
export type LinkTargets = ReadonlyMap<string, { readonly first: string; readonly now: string }>;

/** The real place of each directory that leads somewhere, by its name. */
export async function resolveDirectories(directories: readonly (string | Buffer)[]): Promise<ReadonlyMap<string, string>> {
  const places = await Promise.all(
    directories.map(async (name) => [name.toString(), (await statPath(Buffer.from(name))).realPath] as const),
  );
  return new Map(places.flatMap(([name, place]) => (place === undefined ? [] : [[name, place]])));
}

/** `before` with where the directories lead now; one that leads nowhere for a time is not forgotten. */
export function retargeted(before: LinkTargets, places: ReadonlyMap<string, string>): LinkTargets {
  const led = new Map(before);
  for (const [name, now] of places) led.set(name, { first: before.get(name)?.first ?? now, now });
  return led;
}

export function linkFindings(led: LinkTargets): Finding[] {
  return [...led].flatMap(([name, { first, now }]): Finding[] => {
    if (first !== now) {
      return [
        {
          level: 'warning',
          code: 'DIRECTORY_LEADS_ELSEWHERE',
          message: `${name} now resolves to ${now}; when monitoring began it resolved to ${first}.`,
        },
      ];
    }
    if (now === resolve(name)) return [];
    return [{ level: 'info', code: 'DIRECTORY_IS_LINK', message: `${name} is a symbolic link to ${now}, which is monitored.` }];
  });
}

export function slowness(lookMs: number, everyMs: number): Finding[] {
  if (lookMs <= everyMs) return [];
  return [
    {
      level: 'warning',
      code: 'SCAN_SLOW',
      message: `The last scan took ${seconds(lookMs)}, longer than the ${seconds(everyMs)} interval; data lags by up to that.`,
    },
  ];
}

export function unwatched(lack: WatchLack, watched: number, directories: number, everyMs: number): Finding[] {
  if (lack === undefined) return [];
  const why =
    lack === 'limit' ? 'the limit of watches is reached (fs.inotify.max_user_watches, or that of plimsoll)' : 'the kernel refused';
  return [
    {
      level: 'info',
      code: 'WATCHES_INCOMPLETE',
      message: `inotify covers ${watched} of ${directories} directories (${why}); the others are polled every ${seconds(everyMs)}.`,
    },
  ];
}

export function scanFailed(error: PlimsollError): Finding {
  return { level: 'critical', code: 'SCAN_FAILED', message: `${error.message}; the data shown is from before.` };
}

export function cameBack(fromMs: number, untilMs: number): Finding {
  return {
    level: 'info',
    code: 'STORE_CAME_BACK',
    message: `The store was missing from ${new Date(fromMs).toISOString()} to ${new Date(untilMs).toISOString()}.`,
  };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}
