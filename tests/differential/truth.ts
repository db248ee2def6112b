/** Measures one state: what plimsoll says of it, and what QEMU reaches by each fill and by one more snapshot. */
import { join } from 'node:path';
import type { ImageReport } from '#wire';
import { openingArguments, qemuImg, qemuIo } from '../support/qemu.ts';
import { FEW_FILLS, type Fill, FILLS, SINGLE } from './fills.ts';
import { buildState, type BuiltState, Duplicator, isSameStorage, measureState, type StorageKind } from './image-files.ts';
import type { Examine } from './product.ts';
import type { Reached } from './reached.ts';
import type { ImageState } from './states/site.ts';

export interface FillTruth {
  readonly fill: string;
  readonly image: Reached;
  readonly dataFile: Reached | undefined;
  /** What plimsoll said of this very copy before it was filled. */
  readonly said: ImageReport | undefined;
}

export interface StateTruth {
  readonly name: string;
  readonly kind: StorageKind;
  readonly before: BuiltState;
  readonly said: ImageReport | undefined;
  readonly fills: readonly FillTruth[];
  /** Storage that one more snapshot costs, null when QEMU refuses to take one, undefined when not measured. */
  readonly snapshotCost: number | null | undefined;
}

export interface TruthOptions {
  /** An existing directory on the filesystem to test. */
  readonly root: string;
  readonly kind: StorageKind;
  readonly fills: readonly Fill[];
  /** Absent: QEMU's side only. */
  readonly examine: Examine | undefined;
}

/** The fills that are asserted: all but the extra ones; O_DIRECT only where every kernel has it; few where they are slow. */
export function usualFills(state: ImageState, kind: StorageKind): readonly Fill[] {
  const usual = FILLS.filter((fill) => fill.extra !== true && (fill.direct !== true || kind !== 'tmpfs'));
  return kind === 'tmpfs' && !state.tags.includes('slow') ? usual : usual.filter(({ name }) => FEW_FILLS.includes(name));
}

/** Builds, examines and fills `state` in all the ways asked for. */
export async function measureTruth(state: ImageState, options: TruthOptions): Promise<StateTruth> {
  const before = await buildState(state, join(options.root, 'original'), options.kind);
  const said = await ask(before, options.examine);
  const truth = { name: state.name, kind: options.kind, before, said };
  if (state.unwritable) {
    await mustRefuse(before);
    return { ...truth, fills: [untouched(before)], snapshotCost: undefined };
  }
  const duplicator = new Duplicator(before, options.kind);
  const fills: FillTruth[] = [];
  const known = new Map<string, string>();
  for (const fill of options.fills) {
    const commands = JSON.stringify(fill.sessions(before.geometry));
    // Small images make some fills the same; one of them is enough.
    if (known.has(commands) && fill.direct !== true) continue;
    known.set(commands, fill.name);
    fills.push(await measureFill(duplicator, truth, fill, options));
  }
  const single = fills.find((one) => one.fill === SINGLE);
  if (state.format === 'raw') return { ...truth, fills, snapshotCost: null };
  // What ext4 and XFS add to a snapshot's cost is no part of the figure.
  if (options.kind === 'ext4' || options.kind === 'xfs') return { ...truth, fills, snapshotCost: undefined };
  return { ...truth, fills, snapshotCost: single === undefined ? undefined : await measureSnapshot(duplicator, single, options) };
}

async function measureFill(
  duplicator: Duplicator,
  { before, said }: Pick<StateTruth, 'before' | 'said'>,
  fill: Fill,
  options: TruthOptions,
): Promise<FillTruth> {
  const copy = await duplicator.duplicate(join(options.root, fill.name));
  const saidOfCopy = isSameStorage(before, copy) ? said : await ask(copy, options.examine);
  await applyFill(copy, fill, options.kind);
  return { fill: fill.name, ...(await measureState(copy.opening.path, copy.directory, options.kind)), said: saidOfCopy };
}

async function applyFill(copy: BuiltState, fill: Fill, kind: StorageKind): Promise<void> {
  for (const commands of fill.sessions(copy.geometry)) {
    if (commands.length === 0) continue;
    // Flushing changes nothing on tmpfs but time.
    const cache = fill.direct === true ? 'none' : kind === 'tmpfs' ? 'unsafe' : 'writeback';
    await qemuIo(copy.opening, commands, { cache, discard: fill.name === 'discards' ? 'unmap' : 'ignore' });
  }
}

/** What a snapshot taken now costs by the time the guest has written everything. */
async function measureSnapshot(duplicator: Duplicator, single: FillTruth, options: TruthOptions): Promise<number | null> {
  const copy = await duplicator.duplicate(join(options.root, 'snapshot'));
  try {
    await qemuImg(copy.directory, 'snapshot', '-c', 'plimsoll-next', ...openingArguments(copy.opening));
  } catch (error) {
    if (/Could not create snapshot/.test(String(error))) return null;
    throw error;
  }
  const fill = FILLS.find((one) => one.name === SINGLE) as Fill;
  await applyFill(copy, fill, options.kind);
  return (await measureState(copy.opening.path, copy.directory, options.kind)).image.allocation - single.image.allocation;
}

async function ask(built: BuiltState, examine: Examine | undefined): Promise<ImageReport | undefined> {
  return examine?.(built.opening.path, built.state.format);
}

/** QEMU must refuse the first write, else the state is not what it claims to be. */
async function mustRefuse(built: BuiltState): Promise<void> {
  const refused = await qemuIo(built.opening, ['write -q 0 512']).then(
    () => false,
    () => true,
  );
  if (!refused) throw new Error(`QEMU writes to ${built.state.name}, which is declared unwritable`);
}

function untouched(built: BuiltState): FillTruth {
  return { fill: 'none', image: built.image, dataFile: built.dataFile, said: undefined };
}
