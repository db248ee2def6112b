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
  return { violations, slackRatio: slackOf(truth, truth.said.image) };
}

/** The fill that consumed most, or reached the greatest length. */
export function worstFill(truth: StateTruth, figure: 'allocation' | 'length' | 'mapped'): FillTruth {
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
  const data = fill.dataFile === undefined || said.dataFile === undefined ? [] : bounds(`${fill.fill}, data file`, said.dataFile, fill.dataFile);
  return [...bounds(fill.fill, said.image, fill.image), ...data];
}

function bounds(what: string, report: ImageReport, reached: Reached): string[] {
  return [
    ...below(`commitment (${what})`, report.commitment, reached.allocation),
    ...below(`maxLength (${what})`, report.maxLength, reached.length),
  ];
}

function below(name: string, said: number | null, reached: number): string[] {
  if (said !== null && said >= reached) return [];
  return [`${name} is ${said}, reached ${reached}${said === null ? '' : ` (${reached - said} more)`}`];
}

/** `expected` is exact where the filesystem charges nothing for its map and gives no more than asked. */
function judgeExpected(truth: StateTruth): string[] {
  const single = singleFill(truth);
  const said = single?.said ?? truth.said;
  if (single === undefined || said === undefined || (truth.kind !== 'tmpfs' && truth.kind !== 'btrfs')) return [];
  const { expected } = said.image;
  if (expected === single.image.allocation) return [];
  return [`expected is ${expected}, single-cluster fill reached ${single.image.allocation}`];
}

function judgeSnapshot(truth: StateTruth): string[] {
  if (truth.said === undefined || truth.snapshotCost === undefined || truth.kind !== 'tmpfs') return [];
  const said = truth.said.image.nextSnapshot?.bytes ?? null;
  if (said === truth.snapshotCost) return [];
  return [`nextSnapshot is ${said}, QEMU's cost ${truth.snapshotCost ?? 'nothing: it refuses'}`];
}

function slackOf(truth: StateTruth, report: ImageReport): number | undefined {
  const reached = worstFill(truth, 'mapped').image.mapped;
  if (reached === 0 || report.commitment === null) return undefined;
  return (report.commitment - hostBytes(report)) / reached - 1;
}
