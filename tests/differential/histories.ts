/** Random histories of an image: how it was created and what was done to it, drawn from a seed and described in full. */
import { divideUp, KiB, MiB, roundUp } from '#base';
import { POWER_CUT } from './states/commands.ts';
import { Prng } from './prng.ts';
import { type CreateOptions, type ImageState, type Site, state } from './states/site.ts';

export type Operation =
  | {
      readonly do: 'session';
      readonly commands: readonly string[];
      readonly discard: 'unmap' | 'ignore';
      readonly punch: boolean;
      readonly crashes: boolean;
    }
  | { readonly do: 'snapshot'; readonly action: '-c' | '-d' | '-a'; readonly name: string }
  | { readonly do: 'bitmap'; readonly name: string; readonly actions: readonly string[] }
  | { readonly do: 'resize'; readonly capacity: number; readonly more: readonly string[] };

export interface History {
  readonly seed: number;
  readonly capacity: number;
  readonly options: CreateOptions;
  /** Capacity of the backing file, when there is one. */
  readonly baseCapacity: number | undefined;
  readonly operations: readonly Operation[];
}

/** What is true of the image so far, so that only what QEMU accepts is drawn. */
interface Progress {
  capacity: number;
  readonly clusterSize: number;
  readonly takesSnapshots: boolean;
  readonly mostSnapshots: number;
  readonly takesBitmaps: boolean;
  readonly compresses: boolean;
  readonly snapshots: Map<string, number>;
  readonly bitmaps: Set<string>;
  nextName: number;
}

const CLUSTER_SIZES = [512, KiB, 2 * KiB, 4 * KiB, 8 * KiB, 16 * KiB, 32 * KiB, 64 * KiB, 128 * KiB, 512 * KiB] as const;
const LARGEST_CAPACITY = 24 * MiB;

/** The history that `seed` stands for; always the same. */
export function drawHistory(seed: number): History {
  const prng = new Prng(seed);
  const clusterSize = prng.pick(CLUSTER_SIZES);
  const capacity = drawCapacity(prng, clusterSize);
  const hasBase = prng.chance(0.2);
  const options = drawOptions(prng, clusterSize, hasBase);
  const hasDataFile = options['data_file'] !== undefined;
  const baseCapacity = hasBase ? roundUp(1 + prng.below(2 * capacity), 512) : undefined;
  const refcountBits = Number(options['refcount_bits'] ?? 16);
  const progress: Progress = {
    capacity,
    clusterSize,
    takesSnapshots: !hasDataFile,
    mostSnapshots: Math.min(5, 2 ** Math.min(refcountBits, 10) - 2),
    takesBitmaps: options['compat'] === undefined && prng.chance(0.3),
    // Compressed clusters share host clusters: narrow refcounts and snapshots together would overflow. And where version 2
    // has a backing file nothing can be discarded to make room for them.
    compresses: !hasDataFile && refcountBits >= 8 && !(hasBase && options['compat'] !== undefined),
    snapshots: new Map(),
    bitmaps: new Set(),
    nextName: 0,
  };
  const operations = Array.from({ length: 5 + prng.below(16) }, () => drawOperation(prng, progress));
  return { seed, capacity, options, baseCapacity, operations };
}

/** The history as an image state. */
export function historyState(history: History): ImageState {
  return state(`history-${history.seed}`, ['history'], async (site) => {
    if (history.baseCapacity === undefined) await site.create(history.capacity, history.options);
    else {
      await site.createOther('base.qcow2', history.baseCapacity, {}, [`write -q -P 9 0 ${Math.ceil(history.baseCapacity / 1024) * 512}`]);
      await site.createOverlay('base.qcow2', history.capacity, history.options);
    }
    for (const operation of history.operations) await perform(site, operation);
    // After a crash refcounts may rightly be stale; else an error is QEMU's own, and no figure is true of such an image.
    if (!history.operations.some((operation) => operation.do === 'session' && operation.crashes)) await site.mustBeSound();
  });
}

/** Everything that is needed to repeat the history by hand. */
export function describeHistory({ seed, capacity, options, baseCapacity, operations }: History): string {
  const made = Object.entries(options)
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
  const backing = baseCapacity === undefined ? '' : `, backing file of ${baseCapacity}`;
  return [`seed ${seed}: create ${capacity} -o ${made}${backing}`, ...operations.map((one) => `  ${JSON.stringify(one)}`)].join('\n');
}

async function perform(site: Site, operation: Operation): Promise<void> {
  if (operation.do === 'snapshot') return site.snapshot(operation.action, operation.name);
  if (operation.do === 'bitmap') return site.bitmap(operation.name, ...operation.actions);
  if (operation.do === 'resize') return site.resize(operation.capacity, ...operation.more);
  const driverOptions = operation.punch ? [] : ['pass-discard-request=off'];
  return site.io(operation.commands, { discard: operation.discard, driverOptions, crashes: operation.crashes });
}

function drawCapacity(prng: Prng, clusterSize: number): number {
  const clusterCount = 20 + prng.below(Math.min(1500, LARGEST_CAPACITY / clusterSize));
  return clusterCount * clusterSize + (prng.chance(0.3) ? 512 * prng.below(clusterSize / 512) : 0);
}

function drawOptions(prng: Prng, clusterSize: number, hasBase: boolean): CreateOptions {
  if (prng.chance(0.12)) return { cluster_size: clusterSize, compat: '0.10' };
  const isExtended = clusterSize >= 16 * KiB && prng.chance(0.35);
  // What QEMU refuses: a data file or preallocation beside a backing file.
  const preallocation = hasBase ? 'off' : prng.pick(['off', 'off', 'off', 'off', 'metadata', 'falloc']);
  return {
    cluster_size: clusterSize,
    ...(prng.chance(0.5) ? { refcount_bits: prng.pick([1, 2, 4, 8, 32, 64]) } : {}),
    ...(isExtended ? { extended_l2: 'on' } : {}),
    ...(prng.chance(0.15) ? { lazy_refcounts: 'on' } : {}),
    ...(!hasBase && prng.chance(0.1) ? { data_file: 'data.raw' } : { preallocation }),
    ...(prng.chance(0.2) ? { compression_type: 'zstd' } : {}),
  };
}

function drawOperation(prng: Prng, progress: Progress): Operation {
  const chosen = prng.ratio();
  if (chosen < 0.22 && progress.takesSnapshots) return drawSnapshot(prng, progress) ?? drawSession(prng, progress);
  if (chosen < 0.3 && progress.takesBitmaps) return drawBitmap(prng, progress);
  // QEMU 7.2 neither resizes version 2 images with snapshots nor images with some bitmaps.
  const canResize = progress.snapshots.size === 0 && progress.bitmaps.size === 0;
  if (chosen >= 0.3 && chosen < 0.36 && canResize) return drawResize(prng, progress);
  return drawSession(prng, progress);
}

function drawSnapshot(prng: Prng, progress: Progress): Operation | undefined {
  const names = [...progress.snapshots.keys()];
  if (progress.snapshots.size < progress.mostSnapshots && (names.length === 0 || prng.chance(0.55))) {
    const name = `s${progress.nextName++}`;
    progress.snapshots.set(name, progress.capacity);
    return { do: 'snapshot', action: '-c', name };
  }
  if (names.length === 0) return undefined;
  const name = prng.pick(names);
  // Applying takes one more reference to everything the snapshot has, and QEMU refuses it beside bitmaps.
  if (progress.bitmaps.size === 0 && prng.chance(0.25) && progress.snapshots.size < progress.mostSnapshots)
    return { do: 'snapshot', action: '-a', name };
  progress.snapshots.delete(name);
  return { do: 'snapshot', action: '-d', name };
}

function drawBitmap(prng: Prng, progress: Progress): Operation {
  const names = [...progress.bitmaps];
  if (names.length > 0 && (names.length > 2 || prng.chance(0.5))) {
    const name = prng.pick(names);
    const action = prng.pick(['--remove', '--disable', '--enable', '--clear']);
    if (action === '--remove') progress.bitmaps.delete(name);
    return { do: 'bitmap', name, actions: [action] };
  }
  const name = `b${progress.nextName++}`;
  progress.bitmaps.add(name);
  return { do: 'bitmap', name, actions: ['--add', '-g', String(prng.pick([512, 4096, 65_536]))] };
}

function drawResize(prng: Prng, progress: Progress): Operation {
  const capacity = Math.min(LARGEST_CAPACITY, Math.max(512, roundUp(prng.below(2 * progress.capacity), 512)));
  const shrinks = capacity < progress.capacity;
  progress.capacity = capacity;
  return { do: 'resize', capacity, more: shrinks ? ['--shrink'] : [] };
}

function drawSession(prng: Prng, progress: Progress): Operation {
  const discard = prng.chance(0.6) ? 'unmap' : 'ignore';
  const commands = Array.from({ length: 1 + prng.below(12) }, () => drawCommand(prng, progress));
  const compressed = discard === 'unmap' && progress.compresses ? drawCompressed(prng, progress) : [];
  const crashes = progress.bitmaps.size === 0 && prng.chance(0.05);
  const ending = crashes ? [...(prng.chance(0.5) ? ['flush'] : []), POWER_CUT] : [];
  return { do: 'session', commands: [...commands, ...compressed, ...ending], discard, punch: prng.chance(0.75), crashes };
}

/**
 * Compressed writes of different clusters, the last of their session. Last, since QEMU 7.2 goes on packing where it left
 * off even when that cluster was freed and reused in the meantime, and damages the image.
 */
function drawCompressed(prng: Prng, { capacity, clusterSize }: Progress): string[] {
  const drawn = Array.from({ length: prng.below(6) }, () => clusterSize * prng.below(divideUp(capacity, clusterSize)));
  const places = [...new Set(drawn)].map((guestOffset) => `${guestOffset} ${Math.min(clusterSize, capacity - guestOffset)}`);
  // QEMU refuses to compress what is already there, unless a snapshot shares it; so it has to go first.
  return [...places.map((place) => `discard -q ${place}`), ...places.map((place) => `write -q -c -P ${1 + prng.below(200)} ${place}`)];
}

function drawCommand(prng: Prng, progress: Progress): string {
  const { capacity, clusterSize } = progress;
  const clusterCount = divideUp(capacity, clusterSize);
  const isWhole = prng.chance(0.5);
  const first = prng.below(clusterCount);
  const guestOffset = isWhole ? first * clusterSize : 512 * prng.below(capacity / 512);
  const wanted = clusterSize * (1 + prng.below(prng.pick([1, 4, 16, 64]))) - (isWhole ? 0 : 512 * prng.below(clusterSize / 512));
  const byteLength = Math.max(512, Math.min(wanted, capacity - guestOffset));
  const chosen = prng.ratio();
  if (chosen < 0.5) return `write -q -P ${1 + prng.below(200)} ${guestOffset} ${byteLength}`;
  if (chosen < 0.6) return `write -q -z ${guestOffset} ${byteLength}`;
  if (chosen < 0.67) return `write -q -z -u ${guestOffset} ${byteLength}`;
  return `discard -q ${guestOffset} ${byteLength}`;
}
