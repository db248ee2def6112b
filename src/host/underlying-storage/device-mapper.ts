/**
 * How a device-mapper device treats writes: passed on one to one, or allocated on write.
 *
 * The UUID names its maker. LVM puts a suffix on hidden devices (`-tpool`, `-cow`, `-vpool`), and the volumes above have
 * them among their slaves: so a thin volume is recognised without root. The target type itself, and how full a pool is, takes
 * root (`dmsetup`). Source: lvm2, lib/activate/dev_manager.c; Documentation/admin-guide/device-mapper/thin-provisioning.rst.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { SystemTree } from './system-tree.ts';

const run = promisify(execFile);

export type MapperKind = 'passes-on' | 'thin' | 'snapshot' | 'vdo' | 'unknown';

/** Creators of devices that pass every write on to one existing location below. */
const PASSING_MAKERS = /^(CRYPT-|mpath-|part\d+-|DMRAID-)/;
/** An LVM volume: `LVM-`, the ids of group and volume of 32 characters each, and a suffix for hidden devices. */
const LVM = /^LVM-[A-Za-z0-9]{64}(-.+)?$/;
const PASSING_TARGETS = new Set([
  ...['linear', 'striped', 'crypt', 'mirror', 'raid', 'raid45', 'multipath', 'integrity', 'snapshot-origin', 'delay', 'verity'],
  ...['cache', 'writecache', 'clone', 'era', 'dust', 'flakey', 'switch', 'unstriped', 'log-writes'],
]);

/** By UUID and slaves, which any user may read. `directory`: of the device, below /sys. */
export function mapperKind(tree: SystemTree, directory: string): MapperKind {
  const uuid = tree.line(`${directory}/dm/uuid`) ?? '';
  if (uuid.startsWith('VDO-')) return 'vdo';
  if (PASSING_MAKERS.test(uuid)) return 'passes-on';
  const lvm = LVM.exec(uuid);
  if (lvm === null) return 'unknown';
  const slaves = tree.names(`${directory}/slaves`).map((name) => tree.line(`${directory}/slaves/${name}/dm/uuid`) ?? '');
  const suffixes = slaves.flatMap((slave) => LVM.exec(slave)?.[1] ?? []);
  if (suffixes.some((suffix) => suffix.endsWith('-tpool') || suffix.endsWith('-pool'))) return 'thin';
  if (suffixes.some((suffix) => suffix.endsWith('-vpool'))) return 'vdo';
  if (suffixes.some((suffix) => suffix.endsWith('-cow'))) return 'snapshot';
  // A volume on physical volumes alone is linear or striped; one above other volumes shows its kind to root only.
  const restsOnVolumes = slaves.some((slave) => slave.startsWith('LVM-'));
  const isOrigin = suffixes.length > 0 && suffixes.every((suffix) => suffix.endsWith('-real'));
  return slaves.length > 0 && (!restsOnVolumes || isOrigin) ? 'passes-on' : 'unknown';
}

/** Runs dmsetup; undefined where that is not possible. */
export type Dmsetup = (words: readonly string[]) => Promise<string | undefined>;

const DMSETUP_MS = 5000;

/** Only root may query; for others no process is started. */
export async function dmsetup(words: readonly string[]): Promise<string | undefined> {
  if (process.geteuid?.() !== 0) return undefined;
  try {
    const environment = { PATH: '/usr/sbin:/sbin:/usr/bin:/bin', LC_ALL: 'C' };
    return (await run('dmsetup', [...words], { timeout: DMSETUP_MS, env: environment, maxBuffer: 2 ** 24 })).stdout;
  } catch {
    return undefined;
  }
}

/** One line of `dmsetup table` or `dmsetup status`. */
interface TargetLine {
  readonly start: number;
  /** Sectors of 512 bytes. */
  readonly length: number;
  readonly target: string;
  readonly words: readonly string[];
}

/** With `--target` each line begins with the device's name and a colon. */
export function parseTargets(text: string): TargetLine[] {
  return text.split('\n').flatMap((line) => {
    const match = /^(?:[^:]*: )?(\d+) (\d+) ([\w-]+) ?(.*)$/.exec(line);
    if (match === null) return [];
    const [, start, length, target, rest] = match as unknown as [string, string, string, string, string];
    return [{ start: Number(start), length: Number(length), target, words: rest.split(' ') }];
  });
}

/** The kind of a device by its targets; undefined if they could not be read. */
export function kindOfTargets(table: string | undefined): MapperKind | undefined {
  const targets = table === undefined ? [] : parseTargets(table).map(({ target }) => target);
  if (targets.length === 0) return undefined;
  if (targets.includes('thin')) return 'thin';
  if (targets.includes('vdo')) return 'vdo';
  if (targets.includes('snapshot')) return 'snapshot';
  return targets.every((target) => PASSING_TARGETS.has(target)) ? 'passes-on' : 'unknown';
}

/** A thin pool and the space its volumes can still take from it. Units: bytes. */
export interface ThinPool {
  /** `MAJOR:MINOR`. */
  readonly pool: string;
  readonly free: number;
  /** Bytes that the volumes of the pool have not been allocated yet. */
  readonly missing: number;
  /** Given to all volumes together, less what the pool has given: snapshots share blocks, and each overwrite takes another. */
  readonly shared: number;
  /** The pool accepts writes, and has metadata for all missing blocks. */
  readonly isSound: boolean;
}

const SECTOR = 512;
/** Bytes of the pool's metadata for each allocated block, with room for half full nodes. */
const METADATA_BYTES_PER_BLOCK = 64;
const METADATA_BLOCK = 4096;

/** The pool below a thin device, from `dmsetup`; undefined if it could not be read. */
export async function thinPoolBelow(device: string, ask: Dmsetup): Promise<ThinPool | undefined> {
  const pool = thinLines((await ask(['table', ...named(device)])) ?? '')[0]?.words[0];
  if (pool === undefined) return undefined;
  const [poolTable, poolStatus, thinTables, thinStates] = [
    await ask(['table', ...named(pool)]),
    await ask(['status', ...named(pool)]),
    await ask(['table', '--target', 'thin']),
    await ask(['status', '--target', 'thin']),
  ];
  if (poolTable === undefined || poolStatus === undefined || thinTables === undefined || thinStates === undefined) return undefined;
  return thinPool(pool, poolTable, poolStatus, volumesOf(pool, thinTables, thinStates));
}

function named(device: string): string[] {
  const [major = '', minor = ''] = device.split(':');
  return ['-j', major, '-m', minor];
}

interface ThinVolume {
  readonly size: number;
  readonly mapped: number;
}

/** Both listings name their devices in the same order. */
function volumesOf(pool: string, tables: string, states: string): ThinVolume[] | undefined {
  const mappedByName = new Map(
    states.split('\n').flatMap((line) => {
      const [status] = thinLines(line);
      return status === undefined ? [] : [[line.split(':')[0] ?? '', Number(status.words[0])] as const];
    }),
  );
  const volumes: ThinVolume[] = [];
  for (const line of tables.split('\n')) {
    const [table] = thinLines(line);
    if (table?.words[0] !== pool) continue;
    const mapped = mappedByName.get(line.split(':')[0] ?? '');
    if (mapped === undefined || !Number.isSafeInteger(mapped)) return undefined;
    volumes.push({ size: table.length * SECTOR, mapped: mapped * SECTOR });
  }
  return volumes;
}

function thinLines(text: string): TargetLine[] {
  return parseTargets(text).filter(({ target }) => target === 'thin');
}

function thinPool(pool: string, table: string, status: string, volumes: ThinVolume[] | undefined): ThinPool | undefined {
  const blockSectors = Number(parseTargets(table)[0]?.words[2]);
  const state = parseTargets(status)[0];
  const [, metadata, data] = state?.words ?? [];
  const [usedMetadata, allMetadata] = fraction(metadata);
  const [usedData, allData] = fraction(data);
  if (volumes === undefined || state?.target !== 'thin-pool') return undefined;
  if (![blockSectors, usedMetadata, allMetadata, usedData, allData].every(Number.isSafeInteger)) return undefined;
  const block = blockSectors * SECTOR;
  const missing = volumes.reduce((sum, { size, mapped }) => sum + Math.max(0, size - mapped), 0);
  const given = volumes.reduce((sum, { mapped }) => sum + mapped, 0);
  const metadataFree = (allMetadata - usedMetadata) * METADATA_BLOCK;
  const mode = state.words.slice(4);
  return {
    pool,
    free: (allData - usedData) * block,
    missing,
    shared: Math.max(0, given - usedData * block),
    isSound: mode.includes('rw') && metadataFree > Math.ceil(missing / block) * METADATA_BYTES_PER_BLOCK + METADATA_BLOCK * 64,
  };
}

function fraction(text = ''): [number, number] {
  const [used, all] = text.split('/');
  return [Number(used), Number(all)];
}
