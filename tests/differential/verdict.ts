/** Compares what plimsoll said of a state with what QEMU reached: violations in words, and the slack. */
import type { ImageReport } from '#wire';
import { SINGLE } from './fills.ts';
import type { Reached } from './reached.ts';
import type { FillTruth, StateTruth } from './truth.ts';

/** Addends whose name starts so are what the host filesystem charges, not what QEMU writes. */
const HOST_ADDEND = 'host: ';

export interface Verdict {
  readonly violations: readonly string[];
  /** Commitment without host addends over the worst reached, minus 1; undefined when nothing can be reached. */
  readonly slackRatio: number | undefined;
}

export function judge(truth: StateTruth): Verdict {
  if (truth.said === undefined) return { violations: [], slackRatio: undefined };
  const violations = [...truth.fills.flatMap((fill) => judgeFill(truth, fill)), ...judgeExpected(truth), ...judgeSnapshot(truth)];
  return { violations, slackRatio: slackOf(truth, truth.said) };
}

/** The fill that consumed most, or reached the greatest length. */
export function worstFill(truth: StateTruth, figure: 'allocation' | 'length'): FillTruth {
  const first = truth.fills[0];
  if (first === undefined) throw new Error(`No fill of ${truth.name} was measured`);
  return truth.fills.reduce((worst, fill) => (fill.image[figure] > worst.image[figure] ? fill : worst), first);
}

export function singleFill(truth: StateTruth): FillTruth | undefined {
  return truth.fills.find((fill) => fill.fill === SINGLE);
}

export function hostBytes(report: ImageReport): number {
  return report.addends.filter(({ name }) => name.startsWith(HOST_ADDEND)).reduce((sum, { bytes }) => sum + bytes, 0);
}

function judgeFill(truth: StateTruth, fill: FillTruth): string[] {
  const said = fill.said ?? truth.said;
  if (said === undefined) return [];
  const { commitment, maxLength } = said;
  const image = bounds(fill.fill, { commitment, maxLength }, fill.image);
  if (fill.dataFile === undefined) return image;
  return [...image, ...bounds(`${fill.fill}, data file`, dataFileBounds(said), fill.dataFile)];
}

/** What a report says of the external data file: its chain has the figures of that file alone. */
export function dataFileBounds(report: ImageReport): Bounds {
  const link = report.chain.find(({ role }) => role === 'data');
  const commitment = link?.commitment ?? null;
  return { commitment, maxLength: commitment };
}

interface Bounds {
  readonly commitment: number | null;
  readonly maxLength: number | null;
}

function bounds(what: string, said: Bounds, reached: Reached): string[] {
  return [
    ...below(`commitment (${what})`, said.commitment, reached.allocation),
    ...below(`maxLength (${what})`, said.maxLength, reached.length),
  ];
}

function below(name: string, said: number | null, reached: number): string[] {
  if (said !== null && said >= reached) return [];
  return [`${name} is ${said}, reached ${reached}${said === null ? '' : ` (${reached - said} more)`}`];
}

/**
 * Whether `expected` and `nextSnapshot` must be exact: where the filesystem charges nothing for its map and gives no more
 * than asked, and plimsoll knew where the file has storage. One number of blocks cannot say so after any history, but in
 * every named state it does.
 */
function mustBeExact(truth: StateTruth, said: ImageReport): boolean {
  if (truth.kind !== 'tmpfs' && truth.kind !== 'btrfs') return false;
  return said.method === 'map' || !truth.before.state.tags.includes('history');
}

function judgeExpected(truth: StateTruth): string[] {
  const single = singleFill(truth);
  const said = single?.said ?? truth.said;
  if (single === undefined || said === undefined || !mustBeExact(truth, said)) return [];
  const { expected } = said;
  if (expected === single.image.allocation) return [];
  return [`expected is ${expected}, single-cluster fill reached ${single.image.allocation}`];
}

function judgeSnapshot(truth: StateTruth): string[] {
  if (truth.said === undefined || truth.snapshotCost === undefined || !mustBeExact(truth, truth.said)) return [];
  const said = truth.said.nextSnapshot?.bytes ?? null;
  // A snapshot can make the image smaller in the end (bitmaps stored anew in between); its cost is then nothing.
  if (said === (truth.snapshotCost === null ? null : Math.max(0, truth.snapshotCost))) return [];
  return [`nextSnapshot is ${said}, QEMU's cost ${truth.snapshotCost ?? 'nothing: it refuses'}`];
}

/** Of the image with its external data file: both are written by the same guest, and one may be tiny beside the other. */
function slackOf(truth: StateTruth, report: ImageReport): number | undefined {
  const reached = Math.max(...truth.fills.map(({ image, dataFile }) => image.mapped + (dataFile?.mapped ?? 0)));
  const dataFile = truth.before.dataFile === undefined ? 0 : dataFileBounds(report).commitment;
  if (reached === 0 || report.commitment === null || dataFile === null) return undefined;
  return (report.commitment + dataFile - hostBytes(report)) / reached - 1;
}
