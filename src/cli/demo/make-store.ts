/** Creates the images of the demonstration store in order; a feature that the filesystem lacks becomes a note. */
import { constants, copyFile, open, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { asPlimsollError, GiB, MiB, PlimsollError } from '#base';
import { FULL_CAPACITY, type Plan, planFor } from './plan.ts';

type Format = 'raw' | 'qcow2';

export interface DemoStore {
  readonly directory: string;
  /** File name and purpose, in the order of creation. */
  readonly lessons: readonly { readonly name: string; readonly text: string }[];
  /** Images that were left out or reduced, with the reason. */
  readonly notes: readonly string[];
}

/** State while the store is being created. */
interface Site {
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly lessons: { name: string; text: string }[];
  readonly notes: string[];
}

/**
 * Fills `directory`, which is empty and exists.
 *
 * Throws: io; the signal's reason when it is aborted.
 */
export async function makeStore(directory: string, signal: AbortSignal): Promise<DemoStore> {
  const { bavail, bsize, type } = await statfs(directory);
  const plan = planFor({ availableBytes: bavail * bsize, filesystemType: type });
  const site: Site = { directory, signal, lessons: [], notes: plan.note === null ? [] : [plan.note] };
  await makeTable(site, plan);
  await makeSnapshot(site, plan);
  await makeOverlay(site);
  await makeSharedCopy(site, plan);
  return site;
}

/** The five rows of the published table. */
async function makeTable(site: Site, plan: Plan): Promise<void> {
  const { preallocatedCapacity } = plan;
  await make(site, 'sparse.raw', 'raw', FULL_CAPACITY, '', 'Uses no storage yet, and can grow to its whole capacity.');
  if (preallocatedCapacity !== null) {
    await makePreallocated(
      site,
      'preallocated.raw',
      'raw',
      preallocatedCapacity,
      'All storage is allocated; only the extent map of the filesystem can still grow.',
    );
  }
  await make(
    site,
    'on-demand.qcow2',
    'qcow2',
    FULL_CAPACITY,
    '',
    'Grows on demand, to slightly more than its capacity: tables and refcounts are added.',
  );
  await make(
    site,
    'metadata.qcow2',
    'qcow2',
    FULL_CAPACITY,
    'metadata',
    'Has its full length, but only its tables are allocated: the length does not show the allocation.',
  );
  if (preallocatedCapacity !== null) {
    await makePreallocated(site, 'preallocated.qcow2', 'qcow2', preallocatedCapacity, 'The same as qcow2: all storage is allocated.');
  }
}

async function makeSnapshot(site: Site, plan: Plan): Promise<void> {
  const { addInternalSnapshot } = await import('#create');
  const name = 'snapshot.qcow2';
  const preallocation = plan.preallocatedCapacity === null ? 'metadata' : 'falloc';
  const text = 'Fully allocated, then an internal snapshot: all data may have to be stored a second time.';
  if (preallocation === 'falloc') await makePreallocated(site, name, 'qcow2', plan.smallCapacity, text);
  else await make(site, name, 'qcow2', plan.smallCapacity, preallocation, text);
  if (site.lessons.some((lesson) => lesson.name === name)) await addInternalSnapshot(join(site.directory, name), 'before-upgrade');
}

async function makeOverlay(site: Site): Promise<void> {
  const { createImage, parseCreateOptions } = await import('#create');
  await make(site, 'base.qcow2', 'qcow2', 10 * GiB, '', 'The backing file of an overlay; it counts once, however many overlays use it.');
  await createImage({
    path: join(site.directory, 'overlay.qcow2'),
    format: 'qcow2',
    capacity: 10 * GiB,
    options: parseCreateOptions('qcow2', []),
    backing: { name: 'base.qcow2', format: 'qcow2' },
    signal: site.signal,
  });
  site.lessons.push({
    name: 'overlay.qcow2',
    text: 'Small while it differs little, and can grow to its whole capacity whatever the backing file holds.',
  });
}

async function makeSharedCopy(site: Site, plan: Plan): Promise<void> {
  const original = join(site.directory, 'data.raw');
  await writeData(original, plan.smallCapacity, site.signal);
  site.lessons.push({ name: 'data.raw', text: 'A raw image, filled with data.' });
  try {
    await copyFile(original, join(site.directory, 'data-copy.raw'), constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
    site.lessons.push({
      name: 'data-copy.raw',
      text: 'A reflink copy: it shares its blocks with data.raw, counted once, until one of the two is written.',
    });
  } catch (error) {
    if (!cannotShare(error)) throw error;
    site.notes.push('The reflink copy is missing: this filesystem cannot share blocks between files (btrfs and XFS can).');
  }
}

const NO_REFLINK: ReadonlySet<unknown> = new Set(['ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'ENOTTY', 'EINVAL', 'EXDEV']);

function cannotShare(error: unknown): boolean {
  return error instanceof Error && NO_REFLINK.has((error as NodeJS.ErrnoException).code);
}

/** A raw image with storage for every byte; the content is arbitrary, but no byte is zero. */
async function writeData(path: string, byteLength: number, signal: AbortSignal): Promise<void> {
  const piece = new Uint8Array(MiB).fill(0x70);
  const file = await open(path, 'wx');
  try {
    for (let offset = 0; offset < byteLength; offset += piece.byteLength) {
      signal.throwIfAborted();
      await file.write(piece, 0, piece.byteLength, offset);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

async function make(site: Site, name: string, format: Format, capacity: number, preallocation: string, text: string): Promise<void> {
  const { createImage, parseCreateOptions } = await import('#create');
  const options = parseCreateOptions(format, preallocation === '' ? [] : [`preallocation=${preallocation}`]);
  await createImage({ path: join(site.directory, name), format, capacity, options, signal: site.signal });
  site.lessons.push({ name, text });
}

/** Not every filesystem can reserve storage; the image is then left out, with a note. */
async function makePreallocated(site: Site, name: string, format: Format, capacity: number, text: string): Promise<void> {
  try {
    await make(site, name, format, capacity, 'falloc', text);
  } catch (thrown) {
    site.signal.throwIfAborted();
    const error = asPlimsollError(thrown, `create ${name}`);
    if (!(error instanceof PlimsollError) || (error.kind !== 'unsupported' && error.kind !== 'io')) throw error;
    site.notes.push(`${name} is missing: ${error.message}.`);
  }
}
