/** Every named image state of the differential tests. */
import { CONTENT_STATES } from './states/content.ts';
import { CORNER_STATES } from './states/corners.ts';
import { FILE_STATES } from './states/files.ts';
import { GEOMETRY_STATES } from './states/geometry.ts';
import { HISTORY_STATES } from './states/history.ts';
import type { ImageState } from './states/site.ts';

export const STATES: readonly ImageState[] = [...GEOMETRY_STATES, ...CONTENT_STATES, ...HISTORY_STATES, ...FILE_STATES, ...CORNER_STATES];

/** The states that are also tried on real filesystems: those where the host's map of the file matters. */
export const DISK_STATES: readonly ImageState[] = STATES.filter((state) => state.tags.includes('disk'));

/**
 * Tag of states with free clusters that still have storage, smaller than the largest request: requests can pass them
 * over, so the bound counts more than any known order of writes reaches.
 */
export const STORED_HOLES = 'unpunched';

const seen = new Set<string>();
for (const { name } of STATES) {
  if (seen.has(name)) throw new Error(`Two image states are named ${name}`);
  seen.add(name);
}
