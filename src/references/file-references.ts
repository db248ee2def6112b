/** What the formats' headers name: a backing file, and the files that hold the guest's data. */
import { roundUp } from '#base';
import { type BackingName, type LayerHeader, type Qcow2Header, type SplitDisk, SUBCLUSTERS_PER_CLUSTER } from '#formats';

export interface FileReferences {
  /** Of the image that refers to them; bytes. */
  readonly capacity: number;
  readonly backing: BackingReference | undefined;
  readonly data: readonly DataReference[];
}

export interface BackingReference {
  readonly name: string;
  /** The name as the kernel takes it. */
  readonly nameBytes: Uint8Array;
  /** null: the image does not record it. */
  readonly format: string | null;
}

/** A file that holds data of the guest. Units: bytes. */
export interface DataReference {
  readonly name: string;
  readonly nameBytes: Uint8Array;
  /** vmdk: a sparse extent, with tables of its own. */
  readonly format: 'raw' | 'vmdk';
  /** Of the disk, or the part of it, that lies in the file. */
  readonly capacity: number;
  /** raw: guest writes reach so many bytes of the file. */
  readonly reach: number;
}

export function referencesOfQcow2(header: Qcow2Header): FileReferences {
  const { externalDataFile, dataFileName: name = '', dataFileNameBytes: nameBytes = new Uint8Array(0), capacity } = header;
  const data = externalDataFile ? [{ name, nameBytes, format: 'raw' as const, capacity, reach: dataFileReach(header) }] : [];
  return { capacity, backing: backingOf(header), data };
}

/** Of an image whose guest data lies in its own file and in its backing file. */
export function referencesOfLayer(header: LayerHeader): FileReferences {
  return { capacity: header.capacity, backing: backingOf(header), data: [] };
}

export function referencesOfSplitDisk({ capacity, files }: SplitDisk): FileReferences {
  const data = files.map(({ name, kind, capacity: part, reach }): DataReference => {
    return { name: name.text, nameBytes: name.bytes, format: kind === 'flat' ? 'raw' : 'vmdk', capacity: part, reach };
  });
  return { capacity, backing: undefined, data };
}

export function backingOf({ backingFile: name, backingFileBytes: nameBytes, backingFormat }: BackingName): BackingReference | undefined {
  return name === undefined || nameBytes === undefined ? undefined : { name, nameBytes, format: backingFormat ?? null };
}

/**
 * Bytes of an external data file that guest writes reach at a capacity: its last cluster's end; with extended L2 entries, its last
 * subcluster's.
 */
export function dataFileReach(header: Qcow2Header, capacity = header.capacity): number {
  return roundUp(capacity, header.extendedL2 ? header.clusterSize / SUBCLUSTERS_PER_CLUSTER : header.clusterSize);
}
