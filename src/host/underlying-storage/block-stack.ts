/**
 * What carries a filesystem: from its block device down to what has storage of its own. Read from sysfs, without root but
 * for `dmsetup`.
 *
 * A plain disk counts as backed, and so does the virtual disk of a guest: what the host below does is not visible here. A SCSI
 * disk that declares itself thin is not a plain disk, unless it is an ATA disk: there the kernel sets the mark for each SSD
 * that knows TRIM (drivers/ata/libata-scsi.c, ata_scsiop_read_cap).
 */
import { basename, dirname } from 'node:path';
import { formatBytes } from '#base';
import type { StorageCaveat, StorageLimit } from '#block';
import { type Dmsetup, kindOfTargets, mapperKind, type MapperKind, thinPoolBelow } from './device-mapper.ts';
import { type ExamineBacking, loopLayer } from './loop-layer.ts';
import type { SystemTree } from './system-tree.ts';

export interface Stack {
  readonly caveats: StorageCaveat[];
  readonly limits: StorageLimit[];
  /** Layers that were counted, in words. */
  readonly countedLayers: string[];
}

export interface StackSources {
  readonly tree: SystemTree;
  readonly dmsetup: Dmsetup;
  readonly examineBacking: ExamineBacking;
}

/** Disks with storage of their own, by the names that their drivers assign. */
const PLAIN =
  /^(sd[a-z]+|hd[a-z]+|vd[a-z]+|xvd[a-z]+|ubd[a-z]+|mmcblk\d+|nvme\d+(c\d+)?n\d+|pmem\d+(\.\d+)?s?|dasd[a-z]+|mtdblock\d+|ubiblock[\d_]+|sr\d+|fd\d+)$/;
/** Block devices that can present more bytes than they have storage for. */
const ELASTIC: readonly (readonly [RegExp, string])[] = [
  [/^zd\d+$/, 'a ZFS volume, which allocates from its pool on write'],
  [/^nbd\d+$/, 'a network block device, whose server is not visible on this host'],
  [/^rbd\d+$/, 'a Ceph block device, which allocates from its pool on write'],
  [/^drbd\d+$/, 'a DRBD device, whose lower disks are not examined'],
  [/^zram\d+$/, 'compressed memory, which reports more capacity than the memory it uses'],
  [/^ram\d+$/, 'a RAM disk, which allocates memory on write'],
  [/^ublkb\d+$/, 'a block device served by a user-space program'],
  [/^nullb\d+$/, 'the null block driver'],
];
const MAX_LAYERS = 64;

/** Examines everything below `devices` (`MAJOR:MINOR`). */
export async function examineStack(devices: readonly string[], sources: StackSources): Promise<Stack> {
  const stack: Stack = { caveats: [], limits: [], countedLayers: [] };
  const seen = new Set<string>();
  const waiting = [...devices];
  for (let device = waiting.shift(); device !== undefined; device = waiting.shift()) {
    if (seen.has(device)) continue;
    seen.add(device);
    if (seen.size > MAX_LAYERS) {
      stack.caveats.push(unknownLayer(`More than ${MAX_LAYERS} block devices are stacked below the filesystem.`));
      break;
    }
    waiting.push(...(await examineDevice(device, stack, sources)));
  }
  return stack;
}

/** Records the meaning of one device; returns those below it. */
async function examineDevice(device: string, stack: Stack, sources: StackSources): Promise<string[]> {
  const { tree } = sources;
  const directory = tree.real(`/sys/dev/block/${device}`);
  if (directory === undefined) {
    stack.caveats.push(unknownLayer(`The block device ${device} is not visible in sysfs.`));
    return [];
  }
  const name = basename(directory);
  if (tree.line(`${directory}/partition`) !== undefined) return devicesAt(tree, [dirname(directory)], stack);
  if (tree.namesIfThere(`${directory}/loop`) !== undefined) return noteLoop(directory, stack, sources);
  if (tree.namesIfThere(`${directory}/dm`) !== undefined) return noteMapper(device, directory, stack, sources);
  const hasMembers = ['md', 'bcache'].some((kind) => tree.namesIfThere(`${directory}/${kind}`) !== undefined);
  if (hasMembers) return slavesOf(tree, directory, stack);
  noteDisk(tree, directory, name, stack);
  return [];
}

function slavesOf(tree: SystemTree, directory: string, stack: Stack): string[] {
  const slaves = tree.names(`${directory}/slaves`).map((name) => `${directory}/slaves/${name}`);
  if (slaves.length === 0) stack.caveats.push(unknownLayer(`The devices below /dev/${basename(directory)} are not visible in sysfs.`));
  return devicesAt(tree, slaves, stack);
}

function devicesAt(tree: SystemTree, directories: readonly string[], stack: Stack): string[] {
  return directories.flatMap((directory) => {
    const device = tree.line(`${directory}/dev`);
    if (device === undefined) stack.caveats.push(unknownLayer(`The block device ${basename(directory)} is not visible in sysfs.`));
    return device ?? [];
  });
}

async function noteLoop(directory: string, stack: Stack, { tree, examineBacking }: StackSources): Promise<string[]> {
  const below = deviceBehind(tree, directory);
  if (below !== undefined) return [below];
  const layer = await loopLayer(tree, directory, examineBacking);
  if (layer === undefined) return [];
  const { name, missing, available, remaining, caveats } = layer;
  stack.caveats.push(...caveats.map((caveat) => ({ ...caveat, message: `Below ${name}: ${caveat.message}` })));
  if (missing === 0) return [];
  const text = `${formatBytes(missing)} of ${name} are unallocated, and the filesystem below has ${formatBytes(Math.max(0, available))} available`;
  if (missing <= available) {
    // Without figures: they change from scan to scan, and the answer does not.
    stack.countedLayers.push(`${name} has holes; the filesystem below has space for all of them, unless other files use it first.`);
    return [];
  }
  stack.caveats.push({ level: 'warning', code: 'STORAGE_BELOW_SHORT', message: `${text}.`, coveredBy: 'backed' });
  stack.limits.push({ level: 'warning', code: 'STORAGE_BELOW_SHORT', domain: null, remaining, message: `${text}.` });
  return [];
}

/** The backing object of a loop device can be another block device, given by its node below /dev. */
function deviceBehind(tree: SystemTree, directory: string): string | undefined {
  const path = tree.line(`${directory}/loop/backing_file`) ?? '';
  return path.startsWith('/dev/') ? tree.line(`/sys/class/block/${basename(path)}/dev`) : undefined;
}

async function noteMapper(device: string, directory: string, stack: Stack, sources: StackSources): Promise<string[]> {
  const { tree } = sources;
  const name = mapperName(tree, directory);
  const kind = await kindOfMapper(device, directory, sources);
  if (kind === 'passes-on') return slavesOf(tree, directory, stack);
  if (kind === 'thin') return noteThin(device, name, stack, sources);
  stack.caveats.push({ level: 'warning', code: 'STORAGE_BELOW_UNKNOWN', message: `${name} is ${MAPPER_WORDS[kind]}`, coveredBy: 'backed' });
  return [];
}

const MAPPER_WORDS: Readonly<Record<Exclude<MapperKind, 'passes-on' | 'thin'>, string>> = {
  snapshot: 'a snapshot: the first write to each block uses space of its exception store, which can run out.',
  vdo: 'a VDO volume: it deduplicates and compresses, and reports more space than it has.',
  unknown: 'a device-mapper device whose target could not be read without root: it may be thin.',
};

async function kindOfMapper(device: string, directory: string, { tree, dmsetup }: StackSources): Promise<MapperKind> {
  const byNames = mapperKind(tree, directory);
  if (byNames !== 'unknown') return byNames;
  const [major = '', minor = ''] = device.split(':');
  return kindOfTargets(await dmsetup(['table', '-j', major, '-m', minor])) ?? 'unknown';
}

function mapperName(tree: SystemTree, directory: string): string {
  const name = tree.line(`${directory}/dm/name`) ?? '';
  return name === '' ? `/dev/${basename(directory)}` : `/dev/mapper/${name}`;
}

async function noteThin(device: string, name: string, stack: Stack, { dmsetup, tree }: StackSources): Promise<string[]> {
  const pool = await thinPoolBelow(device, dmsetup);
  if (pool === undefined) {
    stack.caveats.push({
      level: 'warning',
      code: 'STORAGE_BELOW_UNKNOWN',
      message: `${name} is a thin volume: it allocates from its pool on write, and the free space of the pool could not be read without root.`,
      coveredBy: 'backed',
    });
    return [];
  }
  const text = `${name} is a thin volume: its pool has ${formatBytes(pool.free)} free, and its volumes have ${formatBytes(pool.missing)} still unallocated`;
  const isEnough = pool.isSound && pool.shared === 0 && pool.missing <= pool.free;
  if (isEnough)
    stack.countedLayers.push(`${name} is a thin volume; its pool has space for all of its volumes, unless other volumes use it first.`);
  else {
    const why = !pool.isSound
      ? '; the pool is degraded or short of metadata'
      : pool.shared > 0
        ? `; ${formatBytes(pool.shared)} are shared with snapshots, and an overwrite allocates them again`
        : '';
    stack.caveats.push({ level: 'warning', code: 'STORAGE_BELOW_SHORT', message: `${text}${why}.`, coveredBy: 'backed' });
  }
  // The pool itself lies on volumes that pass writes on.
  const directory = tree.real(`/sys/dev/block/${pool.pool}`);
  return directory === undefined ? devicesAt(tree, [`/sys/dev/block/${pool.pool}`], stack) : slavesOf(tree, directory, stack);
}

const FABRICS = new Set(['tcp', 'rdma', 'fc', 'loop']);

/** How an NVMe namespace is reached; with several paths its controllers lie below the subsystem. */
function nvmeTransport(tree: SystemTree, directory: string): string | undefined {
  const controllers = tree.names(`${directory}/device`).filter((name) => /^nvme\d+$/.test(name));
  const places = [`${directory}/device`, ...controllers.map((name) => `${directory}/device/${name}`)];
  return places.map((place) => tree.line(`${place}/transport`)).find((transport) => transport !== undefined);
}

function noteDisk(tree: SystemTree, directory: string, name: string, stack: Stack): void {
  const elastic = ELASTIC.find(([pattern]) => pattern.test(name));
  const isThinDisk = tree
    .names(`${directory}/device/scsi_disk`)
    .some((disk) => tree.line(`${directory}/device/scsi_disk/${disk}/thin_provisioning`) === '1');
  const vendor = (tree.line(`${directory}/device/vendor`) ?? '').trim();
  const transport = name.startsWith('nvme') ? nvmeTransport(tree, directory) : undefined;
  if (elastic !== undefined) stack.caveats.push(elasticLayer(`/dev/${name} is ${elastic[1]}.`));
  else if (isThinDisk && vendor !== 'ATA') {
    stack.caveats.push(
      elasticLayer(`/dev/${name} (${vendor === '' ? 'SCSI' : vendor}) declares that it is thinly provisioned: it can run out of storage.`),
    );
  } else if (FABRICS.has(transport ?? '')) {
    stack.caveats.push(
      elasticLayer(`/dev/${name} is attached over NVMe ${transport}: it is unknown whether its server has storage for all of it.`),
    );
  } else if (!PLAIN.test(name)) stack.caveats.push(unknownLayer(`/dev/${name} is a block device of an unknown type.`));
}

function elasticLayer(message: string): StorageCaveat {
  return { level: 'warning', code: 'STORAGE_BELOW_UNKNOWN', message, coveredBy: 'backed' };
}

function unknownLayer(what: string): StorageCaveat {
  return {
    level: 'warning',
    code: 'STORAGE_BELOW_UNKNOWN',
    message: `${what} It is unknown whether every available byte has storage.`,
    coveredBy: 'backed',
  };
}
