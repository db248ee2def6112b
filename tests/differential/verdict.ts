/** Compares what plimsoll said of a state with what QEMU reached: violations in words, and the slack. */
import type { ImageReport } from '#wire';
import { SINGLE } from './fills.ts';
import type { Reached } from './reached.ts';
import type { FillTruth, StateTruth } from './truth.ts';

/** Components whose code begins so are charged by the host filesystem, not written by QEMU. */
const HOST_COMPONENT = 'host-';

export interface Verdict {
  readonly violations: readonly string[];
  /** Commitment without host components over the worst reached, minus 1; undefined when nothing can be reached. */
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
  return report.components.filter(({ code }) => code.startsWith(HOST_COMPONENT)).reduce((sum, { bytes }) => sum + bytes, 0);
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

/** Where the filesystem charges nothing for its map and gives no more than asked, `expected` is exact, or not known. */
function isExact(kind: StateTruth['kind']): boolean {
  return kind === 'tmpfs' || kind === 'btrfs';
}

function judgeExpected(truth: StateTruth): string[] {
  const single = singleFill(truth);
  const said = single?.said ?? truth.said;
  if (single === undefined || said === undefined || !isExact(truth.kind)) return [];
  const { expected, method } = said;
  if (expected === single.image.allocation || (expected === null && method === 'stat')) return [];
  return [`expected is ${expected}, single-cluster fill reached ${single.image.allocation}`];
}

/** Commitment and next snapshot together: never below what is reached after it, nor below the commitment that is then stated. */
function judgeSnapshot({ said, snapshot, kind }: StateTruth): string[] {
  if (said === undefined || snapshot === undefined) return [];
  const next = said.nextSnapshot?.bytes ?? null;
  if (next === null || snapshot === null || said.commitment === null)
    return next === null && snapshot === null ? [] : [`nextSnapshot is ${next}, QEMU's cost ${snapshot?.cost ?? 'nothing: it refuses'}`];
  const together = said.commitment + next;
  const after = snapshot.saidAfter?.commitment ?? 0;
  return [
    ...below('commitment and nextSnapshot', together, snapshot.reached),
    // The charges of ext4 and XFS depend on the location of the snapshot's parts.
    ...(isExact(kind) ? below('commitment and nextSnapshot, beside the commitment after the snapshot', together, after) : []),
  ];
}

/** By how much `nextSnapshot` exceeds what the snapshot adds to the worst that is reached, over that. */
export function snapshotSlack({ said, snapshot }: StateTruth): number | undefined {
  if (said?.nextSnapshot === undefined || said.nextSnapshot === null || said.commitment === null || !snapshot) return undefined;
  return (said.commitment + said.nextSnapshot.bytes) / snapshot.reached - 1;
}

/** Of the image with its external data file: both are written by the same guest, and one may be tiny beside the other. */
function slackOf(truth: StateTruth, report: ImageReport): number | undefined {
  const reached = Math.max(...truth.fills.map(({ image, dataFile }) => image.mapped + (dataFile?.mapped ?? 0)));
  const dataFile = truth.before.dataFile === undefined ? 0 : dataFileBounds(report).commitment;
  if (reached === 0 || report.commitment === null || dataFile === null) return undefined;
  return (report.commitment + dataFile - hostBytes(report)) / reached - 1;
}
