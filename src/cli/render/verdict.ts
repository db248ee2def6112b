/** The verdict of a store in one sentence: whether every future guest write fits. */
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
    const spare = store.headroom === null ? '' : `, with ${formatBytes(store.headroom)} remaining${floor}`;
    return { style: 'good', text: `Every future guest write fits${spare}.` };
  }
  if (store.fits === false && (store.headroom ?? -1) >= 0) {
    return { style: 'danger', text: 'NOT every future guest write fits: an image can outgrow the largest file of this filesystem.' };
  }
  if (store.fits === false) {
    const atLeast = isUpperBound(store) ? 'at least ' : '';
    const kept = store.floor > 0 ? `, with ${formatBytes(store.floor)} kept free` : '';
    const excess = store.headroom === null ? '' : `: overcommitted by ${atLeast}${formatBytes(-store.headroom)}${kept}`;
    return { style: 'danger', text: `NOT every future guest write fits${excess}.` };
  }
  return { style: 'warning', text: `Unknown whether every future guest write fits: ${whyNot(store)}.` };
}

/** Findings for a part of the store that could not be read and is missing from its sums. */
const UNREAD: readonly string[] = ['DIRECTORY_UNREADABLE', 'DATA_FILE_UNKNOWN'];

/** Whether the stated headroom is an upper bound: a part of the residual is unknown. */
export function isUpperBound(store: StoreReport): boolean {
  return store.residual === null || store.findings.some(({ code }) => UNREAD.includes(code));
}

function whyNot(store: StoreReport): string {
  const unread = store.images.filter((image) => image.error !== undefined).length;
  const unsized = store.images.filter((image) => image.error === undefined && image.commitment === null).length;
  const reasons = [
    ...(unread > 0 ? [`${images(unread)} could not be read`] : []),
    ...(unsized > 0 ? [`the commitment of ${images(unsized)} is unknown`] : []),
  ];
  const known = store.headroom === null ? '' : `; the known figures leave ${formatBytes(store.headroom)} of headroom`;
  return `${reasons.length > 0 ? reasons.join(', ') : 'see the findings below'}${known}`;
}

function images(count: number): string {
  return count === 1 ? '1 image' : `${count} images`;
}
