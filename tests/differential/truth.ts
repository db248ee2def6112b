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
  /** One more snapshot; null when QEMU refuses to take one, undefined when not measured. */
  readonly snapshot: SnapshotTruth | null | undefined;
}

export interface SnapshotTruth {
  /** Storage that it costs, by the fill with single clusters. */
  readonly cost: number;
  /** What plimsoll says of the image that has it. */
  readonly saidAfter: ImageReport | undefined;
  /** The most that fills reach then. */
  readonly reached: number;
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
export function defaultFills(state: ImageState, kind: StorageKind): readonly Fill[] {
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
    return { ...truth, fills: [untouched(before)], snapshot: undefined };
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
  if (state.format === 'raw') return { ...truth, fills, snapshot: null };
  return { ...truth, fills, snapshot: single === undefined ? undefined : await measureSnapshot(duplicator, single, options) };
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

/** Orders that pass over holes in different ways, besides the one that `cost` is defined by. */
const FILLS_AFTER_SNAPSHOT: readonly string[] = [SINGLE, 'everything', 'chunks-8-shuffled'];

/** What a snapshot taken now costs by the time the guest has written everything, and the most that is reached then. */
async function measureSnapshot(duplicator: Duplicator, single: FillTruth, options: TruthOptions): Promise<SnapshotTruth | null> {
  let saidAfter: ImageReport | undefined;
  const reached: number[] = [];
  for (const name of FILLS_AFTER_SNAPSHOT) {
    const copy = await duplicator.duplicate(join(options.root, `snapshot-${name}`));
    try {
      await qemuImg(copy.directory, 'snapshot', '-c', 'plimsoll-next', ...openingArguments(copy.opening));
    } catch (error) {
      if (/Could not create snapshot/.test(String(error))) return null;
      throw error;
    }
    saidAfter ??= await ask(copy, options.examine);
    await applyFill(copy, FILLS.find((one) => one.name === name) as Fill, options.kind);
    reached.push((await measureState(copy.opening.path, copy.directory, options.kind)).image.allocation);
  }
  return { cost: (reached[0] as number) - single.image.allocation, saidAfter, reached: Math.max(...reached) };
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
