/** The state of a store between scans, and queries that need more than its report. */
import type { StorageRules } from '#block';
import { type MachineFiles, storageRulesOf } from '#host';
import type { Finding, ScannedImage, StoreReport } from '#wire';
import { countSharing } from './sharing.ts';
import type { RoomSeen } from './store.ts';
import type { Assuming, ImageStorage, Looked, LookedStore, StoredImage } from './survey.ts';

/** What a group of images takes, as if they were one file. Units: bytes. */
export interface GroupStorage {
  /** To be read and written when all are copied elsewhere: a copy shares nothing. */
  readonly copied: number;
  /** What the store gets back when all are deleted: what no other file uses. */
  readonly freed: number;
}

export interface StoreSnapshot {
  /** As `scan` would report it, with what the monitor noticed. */
  readonly report: StoreReport;
  /** By what rules its filesystem gives storage. */
  readonly rules: StorageRules;
  readonly room: RoomSeen;
  /** The named directories that lie, or lay, on it. */
  readonly directories: readonly string[];
  /** vanished: no named directory leads to it any more; the report is the last one, which promises nothing. */
  /** `MAJOR:MINOR` of its superblock, for this boot. */
  readonly device: string;
  /** Ids under which earlier versions stored its data: see HostFilesystem. */
  readonly formerIds: readonly string[];
  readonly presence: 'present' | 'vanished';
  /** When the last look at it ended, in milliseconds since 1970, and how long it took. */
  readonly scannedAtMs: number;
  readonly scanSeconds: number;
  /** The machines that have an image open, by its path; an image that is not in it was seen open in none. */
  readonly machines: ReadonlyMap<string, string | null>;
  readonly assuming: Assuming;
  /** Maximum length of a new file in bytes; undefined if no limit is known. */
  readonly largestNewFile: number | undefined;
  /** Paths that are no image of the store count nothing. */
  groupStorage(paths: readonly string[]): GroupStorage;
}

/** What changed on a store between two looks. */
export interface StoreChange {
  /** Paths of images that are new, or of which something is new. */
  readonly changed: readonly string[];
  readonly gone: readonly string[];
}

export function storeSnapshot(
  { report, room, directories, storage, assuming, filesystem }: LookedStore,
  seen: Pick<StoreSnapshot, 'scannedAtMs' | 'scanSeconds' | 'machines'>,
  findings: readonly Finding[],
): StoreSnapshot {
  const group = groupCounter(report, storage);
  return {
    report: findings.length === 0 ? report : { ...report, findings: [...report.findings, ...findings] },
    rules: storageRulesOf(filesystem),
    room,
    directories,
    assuming,
    largestNewFile: filesystem.largestNewFile,
    device: filesystem.device,
    formerIds: filesystem.formerIds,
    presence: 'present',
    ...seen,
    groupStorage: group,
  };
}

/** `store` when none of its directories resolves to it any more: its last report, with an unknown fit. */
export function vanishedSnapshot(store: StoreSnapshot, looked: Looked): StoreSnapshot {
  const { report, directories } = store;
  const finding: Finding = {
    level: 'critical',
    code: 'STORE_VANISHED',
    message: `The store has disappeared (${directories.map((one) => whereNow(one, looked)).join('; ')}). Showing its last known state.`,
  };
  return { ...store, presence: 'vanished', report: { ...report, fits: null, findings: [finding, ...report.findings] } };
}

function whereNow(directory: string, { stores, unreachable }: Looked): string {
  const error = unreachable.get(directory);
  if (error !== undefined) return `${directory}: ${error.message}`;
  const other = stores.find((one) => one.directories.includes(directory));
  return `${directory} is now on ${other === undefined ? 'another filesystem' : `${other.report.id}, mounted at ${other.report.mount}`}`;
}

function groupCounter(report: StoreReport, storage: ImageStorage): StoreSnapshot['groupStorage'] {
  let sharing: ReadonlySet<string> | undefined;
  return (paths) => {
    sharing ??= new Set(report.images.flatMap((image) => ((image.shared ?? 0) > 0 ? [image.path] : [])));
    const members = new Set(paths.filter((path) => storage.has(path)));
    const files = [...members].map((path) => storage.get(path) as StoredImage);
    const merged = { allocation: files.reduce((sum, file) => sum + file.allocation, 0), ranges: joined(files) };
    // Who shares nothing with anybody shares nothing with the group.
    const others = [...sharing].filter((path) => !members.has(path)).flatMap((path) => storage.get(path) ?? []);
    return { copied: merged.allocation, freed: countSharing([merged, ...others]).files[0]?.exclusive ?? 0 };
  };
}

function joined(files: readonly StoredImage[]): Float64Array {
  const all = new Float64Array(files.reduce((sum, { ranges }) => sum + (ranges?.length ?? 0), 0));
  let at = 0;
  for (const { ranges } of files) {
    if (ranges === undefined) continue;
    all.set(ranges, at);
    at += ranges.length;
  }
  return all;
}

const ROWS_PER_STEP = 1000;

/** By identity: a row of which nothing changed is the same object. In steps, with pauses to do something else in. */
export function* changeInSteps(before: StoreSnapshot | undefined, now: StoreSnapshot): Generator<void, StoreChange> {
  const rows = new Map<string, ScannedImage>();
  if (before?.report.images === now.report.images && before.machines === now.machines) return { changed: [], gone: [] };
  for (const row of before?.report.images ?? []) rows.set(row.path, row);
  const changed: string[] = [];
  for (const [index, row] of now.report.images.entries()) {
    if (index % ROWS_PER_STEP === 0) yield;
    const isSame = rows.get(row.path) === row && before?.machines.get(row.path) === now.machines.get(row.path);
    if (!isSame) changed.push(row.path);
    rows.delete(row.path);
  }
  return { changed, gone: [...rows.keys()] };
}

/** Images by the files that machines have open. `before`: kept when it says the same. */
export function machinesOf(
  storage: ImageStorage,
  found: readonly MachineFiles[],
  before: StoreSnapshot['machines'] | undefined,
): StoreSnapshot['machines'] {
  const machines = new Map<string, string | null>();
  if (found.length > 0) {
    for (const [path, { identity }] of storage) {
      const names = identity === undefined ? [] : found.filter(({ files }) => files.has(identity)).map(nameOf);
      if (names.length > 0) machines.set(path, [...new Set(names)].sort().join(', '));
    }
  }
  const isSame = before?.size === machines.size && [...machines].every(([path, name]) => before.get(path) === name);
  return isSame && before !== undefined ? before : machines;
}

function nameOf({ machine, pid }: MachineFiles): string {
  return machine.name ?? machine.uuid ?? `process ${pid}`;
}
