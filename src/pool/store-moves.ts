/** What a store's records say, put as the question which images to move. */
import type { ImageView, MovePlan } from '#wire';
import type { StoreFacts } from './admission.ts';
import { groupImages, type ImageGroup } from './move-groups.ts';
import { type MoveGroup, planMoves } from './moves.ts';
import type { StoreRecord } from './store-record.ts';

/** A store as it stands, with what is held on it. */
export interface StandingStore {
  readonly record: StoreRecord;
  readonly facts: StoreFacts;
}

/** `bandwidth`: bytes per second of a copy, null where nobody knows. */
export function planStoreMoves(from: StandingStore, to: StandingStore | undefined, bandwidth: number | null): MovePlan {
  const { record, facts } = from;
  return planMoves({
    facts,
    rules: record.rules,
    groups: groupImages(record.images.map(chained)).map((group) => moveGroup(group, record)),
    bandwidth,
    ...(to === undefined ? {} : { target: { facts: to.facts, rules: to.record.rules } }),
  });
}

function chained({ path, machine, chain }: ImageView): Parameters<typeof groupImages>[0][number] {
  return { path, machine, backing: chain.filter(({ depth }) => depth === 1).flatMap((link) => link.path ?? []) };
}

function moveGroup({ machine, own, shared }: ImageGroup, record: StoreRecord): MoveGroup {
  const imagesAt = (paths: readonly string[]): ImageView[] => paths.flatMap((path) => record.imageAt(path) ?? []);
  const leaving = imagesAt(own);
  const copied = [...leaving, ...imagesAt(shared)];
  const growths = leaving.map(({ growth }) => growth.high);
  return {
    images: copied.map(({ id, path, allocation }) => ({ id, path, allocation: allocation ?? 0 })),
    machine,
    copied: copied.reduce((sum, { allocation }) => sum + (allocation ?? 0), 0),
    freed: freedBy(leaving, record),
    counted: sumOrNull(leaving.map((image) => counted(image, record.rules.frozenBacking))),
    commitment: sumOrNull(copied.map(({ commitment }) => commitment)),
    growthHigh: sumOrNull(growths),
    inUse: isInUse(leaving),
  };
}

/** One image by itself frees what is its own; of several, blocks that only they share come back too, and those have to be looked up. */
function freedBy(leaving: readonly ImageView[], record: StoreRecord): number {
  const isSimple = leaving.filter(({ shared }) => shared !== 0).length <= 1;
  if (isSimple) return leaving.reduce((sum, { exclusive }) => sum + (exclusive ?? 0), 0);
  return record.kept.groupStorage(leaving.map(({ path }) => path)).freed;
}

/** As the sums of the store count it: `pool/store.ts`. */
function counted({ allocation, commitment, reclaimable, backingOf }: ImageView, frozenBacking: boolean): number | null {
  if (commitment === null) return null;
  if (frozenBacking && backingOf.length > 0) return allocation ?? 0;
  return Math.max(allocation ?? 0, commitment - reclaimable);
}

function isInUse(images: readonly ImageView[]): boolean | null {
  if (images.some(({ machine, openForWriting }) => machine !== null || openForWriting === true)) return true;
  return images.some(({ openForWriting }) => openForWriting === null) ? null : false;
}

function sumOrNull(values: readonly (number | null)[]): number | null {
  return values.reduce<number | null>((sum, value) => (sum === null || value === null ? null : sum + value), 0);
}
