/** The answer to the one question of a store, in a sentence. */
import { formatBytes } from '#base';
import type { StoreReport } from '#wire';
import type { Style } from './theme.ts';

export interface Verdict {
  readonly style: Style;
  readonly text: string;
}

export function verdict(store: StoreReport): Verdict {
  const floor = store.floor > 0 ? ` and ${formatBytes(store.floor)} kept free` : '';
  if (store.fits === true) {
    const spare = store.headroom === null ? '' : `, with ${formatBytes(store.headroom)} to spare${floor}`;
    return { style: 'good', text: `Every future guest write fits${spare}.` };
  }
  if (store.fits === false && (store.headroom ?? -1) >= 0) {
    return { style: 'danger', text: 'NOT every future guest write fits: an image can outgrow the largest file of this filesystem.' };
  }
  if (store.fits === false) {
    const short = store.headroom === null ? '' : `, short by ${isUpperBound(store) ? 'at least ' : ''}${formatBytes(-store.headroom)}`;
    const despite = store.floor > 0 ? ` with ${formatBytes(store.floor)} to be kept free` : '';
    return { style: 'danger', text: `NOT every future guest write fits${despite}${short}.` };
  }
  return { style: 'warning', text: `Could not tell whether every future guest write fits: ${whyNot(store)}.` };
}

/** What stands for a part of the store that nobody could read, and that is in none of its sums. */
const UNREAD: readonly string[] = ['DIRECTORY_UNREADABLE', 'DATA_FILE_UNKNOWN'];

/** Whether the headroom can only be smaller than it is stated: something that takes of it is not known. */
export function isUpperBound(store: StoreReport): boolean {
  return store.residual === null || store.findings.some(({ code }) => UNREAD.includes(code));
}

function whyNot(store: StoreReport): string {
  const unread = store.images.filter((image) => image.error !== undefined).length;
  const unsized = store.images.filter((image) => image.error === undefined && image.commitment === null).length;
  const reasons = [
    ...(unread > 0 ? [`${images(unread)} could not be read`] : []),
    ...(unsized > 0 ? [`the commitment of ${images(unsized)} is not known`] : []),
  ];
  const known = store.headroom === null ? '' : `; what is known leaves ${formatBytes(store.headroom)} of headroom`;
  return `${reasons.length > 0 ? reasons.join(', ') : 'see the findings below'}${known}`;
}

function images(count: number): string {
  return count === 1 ? '1 image' : `${count} images`;
}
