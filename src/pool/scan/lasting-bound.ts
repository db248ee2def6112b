/**
 * Carries the bound of an image over while it has a writer. QEMU keeps tables in memory: the clusters they will refer to
 * are already allocated, but the file on disk still counts their data as unallocated.
 */
import { component, type ImageReport } from '#wire';

/**
 * The report `now` of a file that is open for writing, with the commitment of `before` where that was less: of the
 * same file, made of the same.
 */
export function carryOverBound(before: ImageReport | undefined, now: ImageReport): ImageReport {
  if (before === undefined || now.openForWriting !== true || !isComparable(before) || !isComparable(now)) return now;
  const { allocation, components } = now;
  const counted = now.commitment - now.reclaimable;
  const bound = Math.max(allocation, before.commitment - before.reclaimable);
  if (bound >= counted || madeOf(before) !== madeOf(now)) return now;
  const commitment = now.commitment - (counted - bound);
  return {
    ...now,
    commitment,
    residual: commitment - allocation,
    mapExcess: Math.max(before.mapExcess ?? 0, now.mapExcess ?? 0),
    components: [...components, component('unflushed-tables', bound - counted)],
  };
}

type Bounded = ImageReport & { readonly commitment: number; readonly allocation: number };

function isComparable(report: ImageReport): report is Bounded {
  return report.error === undefined && report.commitment !== null && report.allocation !== null;
}

/** What guests cannot change: a resize, a snapshot, a bitmap or another backing file begins anew. */
function madeOf({ format, capacity, details, chain }: ImageReport): string {
  return JSON.stringify([format, capacity, details, chain.map(({ role, path }) => [role, path])]);
}
