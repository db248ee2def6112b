/** The growth that commits of overlays can cause in their backing files, beyond the sums of the store. Pure. */
import { formatBytes, plural } from '#base';
import type { ChainLink, Finding, ScannedImage } from '#wire';

/** The commit, of all that the scanned images allow, that adds most to the commitment of one file. */
export interface LargestCommit {
  /** Bytes beyond that commitment; 0: every image above it has at most its capacity. */
  readonly growth: number;
  /** The image at the top of the chain. */
  readonly from: string;
}

/** The larger of `known` and the commit into the file of `link`; one of unknown size is reported with the image above it. */
export function largerCommit(known: LargestCommit | undefined, link: ChainLink, from: string): LargestCommit | undefined {
  const { commitGrowth } = link;
  if (commitGrowth === undefined || commitGrowth === null) return known;
  if (known !== undefined && (known.growth > commitGrowth || (known.growth === commitGrowth && known.from <= from))) return known;
  return { growth: commitGrowth, from };
}

/** A row, and what the sums count of it. */
export interface CountedRow {
  readonly row: Pick<ScannedImage, 'commitment' | 'allocation'>;
  readonly counted: number;
  readonly staysAsItIs: boolean;
  readonly largestCommit: LargestCommit | undefined;
}

/** Bytes by which the file can exceed what the sums count of it; undefined: not a backing file, or its commitment is not known. */
export function uncountedByCommit({ row, counted, largestCommit }: CountedRow): number | undefined {
  if (largestCommit === undefined || row.commitment === null) return undefined;
  return Math.max(0, Math.max(row.commitment, row.allocation ?? 0) + largestCommit.growth - counted);
}

/** On the backing file itself. */
export function commitRowFindings(counted: CountedRow): Finding[] {
  const bytes = uncountedByCommit(counted) ?? 0;
  if (bytes === 0 || counted.largestCommit === undefined) return [];
  const { growth, from } = counted.largestCommit;
  if (counted.staysAsItIs) {
    const message = `Counted with its allocation: a commit of ${from} would write to it, and it could then use ${size(bytes)} more than that.`;
    return [{ level: 'info', code: 'COMMIT_GROWS_BASE', message }];
  }
  if (growth === 0) return [];
  const message = `A commit of ${from} extends this backing file first: it can then use ${size(bytes)} more than the sums count.`;
  return [{ level: 'warning', code: 'COMMIT_GROWS_BASE', message }];
}

/** On the store: the largest commit into each backing file, added up. */
export function commitStoreFindings(counted: readonly CountedRow[]): Finding[] {
  const grown = counted.filter((one) => !one.staysAsItIs && (one.largestCommit?.growth ?? 0) > 0 && (uncountedByCommit(one) ?? 0) > 0);
  if (grown.length === 0) return [];
  const bytes = grown.reduce((sum, one) => sum + (uncountedByCommit(one) ?? 0), 0);
  const files = plural(grown.length, 'backing file');
  const message = `Overlays are larger than ${files}: commits into ${grown.length === 1 ? 'it' : 'them'} (qemu-img commit, a block commit) can use up to ${size(bytes)} more than the residual counts.`;
  return [{ level: 'warning', code: 'COMMITS_NOT_COUNTED', message }];
}

function size(bytes: number): string {
  return `${formatBytes(bytes)} (${bytes} bytes)`;
}
