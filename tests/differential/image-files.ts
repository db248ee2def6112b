/** The files of a built state: their places, and copies of them that have storage exactly where the originals have it. */
import { mkdirSync, readdirSync, linkSync } from 'node:fs';
import { join } from 'node:path';
import { imageInfo, type Opening, runTool } from '../support/qemu.ts';
import type { FillGeometry } from './fills.ts';
import { measureFile, type Reached, sameFacts } from './reached.ts';
import { type ImageState, Site } from './states/site.ts';

/** Name of the external data file in every state that has one. */
const DATA_FILE = 'data.raw';
/** Fills write raw images in pieces of QEMU's default cluster. */
const RAW_CLUSTER_SIZE = 65_536;

export interface BuiltState {
  readonly state: ImageState;
  readonly directory: string;
  readonly opening: Opening;
  readonly geometry: FillGeometry;
  readonly image: Reached;
  /** The external data file's own figures, when there is one. */
  readonly dataFile: Reached | undefined;
}

export type StorageKind = 'tmpfs' | 'ext4' | 'xfs' | 'btrfs';

/** Builds `state` in a new directory. */
export async function buildState(state: ImageState, directory: string, kind: StorageKind): Promise<BuiltState> {
  mkdirSync(directory, { recursive: true });
  const site = new Site(directory, state.format);
  await state.build(site);
  const info = await imageInfo(site.image, state.format);
  const clusterSize = state.format === 'raw' ? RAW_CLUSTER_SIZE : info.clusterSize;
  const geometry = { capacity: info.capacity, clusterSize, extendedL2: info.extendedL2 };
  return { state, directory, opening: site.opening, geometry, ...(await measureState(site.image, directory, kind)) };
}

/**
 * The same state again, to be filled: a copy where a copy has the same storage, else built anew.
 *
 * Preallocated storage that was never written reads as a hole and is lost by any copy; XFS hints are lost too.
 */
export async function duplicate(built: BuiltState, directory: string, kind: StorageKind): Promise<BuiltState> {
  if (kind === 'xfs') return buildState(built.state, directory, kind);
  mkdirSync(directory, { recursive: true });
  for (const name of readdirSync(built.directory)) {
    const written = name === DATA_FILE || join(built.directory, name) === built.opening.path;
    if (!written) linkSync(join(built.directory, name), join(directory, name));
    else await runTool('cp', ['--sparse=auto', '--reflink=never', join(built.directory, name), join(directory, name)]);
  }
  const path = join(directory, `image.${built.state.format}`);
  const measured = await measureState(path, directory, kind);
  if (isSameStorage(built, measured)) return { ...built, directory, opening: { ...built.opening, path }, ...measured };
  console.log('REBUILT', built.state.name, built.image, measured.image);
  return buildState(built.state, `${directory}-rebuilt`, kind);
}

/** Whether every file of the state has the length and storage that `other` has. */
export function isSameStorage(built: BuiltState, other: Pick<BuiltState, 'image' | 'dataFile'>): boolean {
  if (!sameFacts(built.image, other.image)) return false;
  if (built.dataFile === undefined || other.dataFile === undefined) return built.dataFile === other.dataFile;
  return sameFacts(built.dataFile, other.dataFile);
}

/** Measures the files of a state as they are now. */
export async function measureState(
  imagePath: string,
  directory: string,
  kind: StorageKind,
): Promise<Pick<BuiltState, 'image' | 'dataFile'>> {
  const hasMap = kind !== 'tmpfs';
  const image = await measureFile(imagePath, hasMap);
  const hasDataFile = readdirSync(directory).includes(DATA_FILE);
  return { image, dataFile: hasDataFile ? await measureFile(join(directory, DATA_FILE), hasMap) : undefined };
}

export function dataFilePath(built: BuiltState): string {
  return join(built.directory, DATA_FILE);
}
