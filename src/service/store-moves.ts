/** What a store's records say, put as the question which images to move. */
import { runInOwnSlices } from '#base';
import type { ImageView, MovePlan } from '#wire';
import { groupImages, type ImageGroup, type MoveGroup, planInSteps, type StoreFacts, type StoreSnapshot } from '#pool';
import type { MonitoredStore } from './monitored-store.ts';

/** A store as it stands, with what is held on it. */
export interface StandingStore {
  readonly record: MonitoredStore;
  readonly facts: StoreFacts;
}

/** The speed of a copy is not configured: time is then ignored. */
const BANDWIDTH = null;
const GROUPS_PER_STEP = 500;

/** What there is to move, by the images it was made of: as long as these are the same, so are the groups. */
const groupsOf = new WeakMap<readonly ImageView[], Promise<readonly MoveGroup[]>>();

/** Makes plans, each once as long as nothing changed: all who ask meanwhile get the same. */
export class MovePlanner {
  readonly #made = new Map<string, { readonly basis: readonly unknown[]; readonly plan: Promise<MovePlan> }>();

  /** Of the moment it is asked for. Throws: usage, RULE_VALUE. */
  plan(from: StandingStore, to: StandingStore | undefined): Promise<MovePlan> {
    const key = JSON.stringify([from.record.id, to?.record.id ?? null]);
    const basis = [from, to].flatMap((one) => (one === undefined ? [] : [one.record.images, JSON.stringify(one.facts)]));
    const known = this.#made.get(key);
    if (known?.basis.every((part, index) => part === basis[index]) === true) return known.plan;
    const plan = planStoreMoves(from, to);
    this.#made.set(key, { basis, plan });
    // A failure is not a plan.
    plan.catch(() => this.#made.delete(key));
    return plan;
  }
}

async function planStoreMoves({ record, facts }: StandingStore, to: StandingStore | undefined): Promise<MovePlan> {
  const groups = groupsOf.get(record.images) ?? runInOwnSlices(groupsInSteps(record.images, record));
  groupsOf.set(record.images, groups);
  const target = to === undefined ? {} : { target: { facts: to.facts, rules: to.record.rules } };
  return runInOwnSlices(planInSteps({ facts, rules: record.rules, groups: await groups, bandwidth: BANDWIDTH, ...target }));
}

function* groupsInSteps(images: readonly ImageView[], record: MonitoredStore): Generator<void, readonly MoveGroup[]> {
  const byPath = new Map(images.flatMap((image) => [image.path, ...image.aliases].map((path) => [path, image] as const)));
  const { kept } = record;
  yield;
  const found = groupImages(images.map(chained));
  const groups: MoveGroup[] = [];
  for (const [index, group] of found.entries()) {
    if (index % GROUPS_PER_STEP === 0) yield;
    groups.push(moveGroup(group, { byPath, kept }));
  }
  return groups;
}

function chained({ path, machine, chain }: ImageView): Parameters<typeof groupImages>[0][number] {
  return { path, machine, backing: chain.filter(({ depth }) => depth === 1).flatMap((link) => link.path ?? []) };
}

/** What groups are made of, all of one moment. */
interface StoreImages {
  readonly byPath: ReadonlyMap<string, ImageView>;
  readonly kept: StoreSnapshot;
}

function moveGroup({ machine, own, shared }: ImageGroup, store: StoreImages): MoveGroup {
  const imagesAt = (paths: readonly string[]): ImageView[] => paths.flatMap((path) => store.byPath.get(path) ?? []);
  const leaving = imagesAt(own);
  const copied = [...leaving, ...imagesAt(shared)];
  const growths = leaving.map(({ growth }) => growth.high);
  return {
    images: copied.map(({ id, path, allocation }) => ({ id, path, allocation: allocation ?? 0 })),
    machine,
    copied: copied.reduce((sum, { allocation }) => sum + (allocation ?? 0), 0),
    freed: freedBy(leaving, store.kept),
    counted: sumOrNull(leaving.map((image) => counted(image))),
    commitment: sumOrNull(copied.map(({ commitment }) => commitment)),
    growthHigh: sumOrNull(growths),
    inUse: isInUse(leaving),
  };
}

/** One image by itself frees what is its own; of several, blocks that only they share come back too, and those have to be looked up. */
function freedBy(leaving: readonly ImageView[], kept: StoreSnapshot): number {
  const isSimple = leaving.filter(({ shared }) => shared !== 0).length <= 1;
  if (isSimple) return leaving.reduce((sum, { exclusive }) => sum + (exclusive ?? 0), 0);
  return kept.groupStorage(leaving.map(({ path }) => path)).freed;
}

/** As the sums of the store count it: `pool/scan/store.ts`. */
function counted({ allocation, commitment, reclaimable, neverWritten }: ImageView): number | null {
  if (neverWritten !== null) return allocation ?? 0;
  if (commitment === null) return null;
  return Math.max(allocation ?? 0, commitment - reclaimable);
}

function isInUse(images: readonly ImageView[]): boolean | null {
  if (images.some(({ machine, openForWriting }) => machine !== null || openForWriting === true)) return true;
  return images.some(({ openForWriting }) => openForWriting === null) ? null : false;
}

function sumOrNull(values: readonly (number | null)[]): number | null {
  return values.reduce<number | null>((sum, value) => (sum === null || value === null ? null : sum + value), 0);
}
