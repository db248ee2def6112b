/** The files of a built state: their places, and copies of them that have storage exactly where the originals have it. */
import { mkdirSync, readdirSync, linkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { imageInfo, type Opening } from '../support/qemu.ts';
import type { FillGeometry } from './fills.ts';
import { measureFile, type Reached, sameFacts } from './reached.ts';
import { type ImageState, Site } from './states/site.ts';
import { copyStorage, findUnwritten, readWritten, type StorageLayout } from './storage-copy.ts';

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
 * Makes the same state again and again, to be filled: copies where a copy has the same storage, else built anew.
 *
 * XFS: always built anew, since the hints that QEMU sets on the files it creates are no part of a copy.
 */
export class Duplicator {
  readonly #built: BuiltState;
  readonly #kind: StorageKind;
  readonly #layouts = new Map<string, StorageLayout>();
  #canCopy: boolean;
  #hasSearched = false;

  constructor(built: BuiltState, kind: StorageKind) {
    this.#built = built;
    this.#kind = kind;
    this.#canCopy = kind !== 'xfs';
  }

  async duplicate(directory: string): Promise<BuiltState> {
    if (!this.#canCopy) return this.#rebuild(directory);
    const copy = await this.#copy(directory);
    if (isSameStorage(this.#built, copy)) return copy;
    // Only tmpfs can report where unwritten storage lies; elsewhere, and where that failed, build anew.
    this.#canCopy = this.#kind === 'tmpfs' && !this.#hasSearched && (await this.#searchUnwritten(`${directory}-probe`));
    this.#hasSearched = true;
    return this.duplicate(`${directory}-again`);
  }

  #rebuild(directory: string): Promise<BuiltState> {
    return buildState(this.#built.state, directory, this.#kind);
  }

  async #copy(directory: string): Promise<BuiltState> {
    const { opening } = this.#built;
    mkdirSync(directory, { recursive: true });
    for (const name of readdirSync(this.#built.directory)) {
      const original = join(this.#built.directory, name);
      if (!this.#isWritten(name)) linkSync(original, join(directory, name));
      else await copyStorage(original, join(directory, name), await this.#layout(name));
    }
    const path = join(directory, basename(opening.path));
    return { ...this.#built, directory, opening: { ...opening, path }, ...(await measureState(path, directory, this.#kind)) };
  }

  async #layout(name: string): Promise<StorageLayout> {
    const known = this.#layouts.get(name) ?? (await readWritten(join(this.#built.directory, name)));
    this.#layouts.set(name, known);
    return known;
  }

  /** False when the state does not come out the same a second time. */
  async #searchUnwritten(directory: string): Promise<boolean> {
    const twin = await this.#rebuild(directory);
    if (!isSameStorage(this.#built, twin)) return false;
    for (const [name, layout] of this.#layouts) this.#layouts.set(name, await findUnwritten(layout, join(directory, name)));
    return true;
  }

  /** Whether fills change the file: the image and its data file, but no base. */
  #isWritten(name: string): boolean {
    return name === DATA_FILE || name === basename(this.#built.opening.path);
  }
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
