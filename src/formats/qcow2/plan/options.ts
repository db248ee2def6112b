/** What a new qcow2 can be asked for, and the numbers that follow from it. Plain data: parsing options is `create`'s. */
import { divideUp, PlimsollError } from '#base';

export type Preallocation = 'off' | 'metadata' | 'falloc' | 'full';

export interface NewQcow2Options {
  /** Power of two from 512 to 2 MiB. */
  readonly clusterSize: number;
  readonly version: 2 | 3;
  /** Power of two from 1 to 64; 16 in version 2. */
  readonly refcountBits: number;
  readonly extendedL2: boolean;
  readonly lazyRefcounts: boolean;
  readonly preallocation: Preallocation;
  readonly compressionType: 'zlib' | 'zstd';
  /** Name of the external data file, as it is recorded. */
  readonly dataFile?: string;
  readonly dataFileRaw: boolean;
  /** Bytes of the encryption header that the image carries; 0 when it is not encrypted with LUKS. */
  readonly luksHeaderBytes: number;
}

/** What `qemu-img create -f qcow2` makes when no option is given. */
export const NEW_QCOW2_DEFAULTS: NewQcow2Options = {
  clusterSize: 65536,
  version: 3,
  refcountBits: 16,
  extendedL2: false,
  lazyRefcounts: false,
  preallocation: 'off',
  compressionType: 'zlib',
  dataFileRaw: false,
  luksHeaderBytes: 0,
};

/** QCOW_MAX_L1_SIZE: 32 MiB. */
const MAX_L1_BYTES = 32 * 1024 * 1024;

/** Bytes of one request at most: 2 GiB less one sector, so that it fits an int. */
const MAX_REQUEST_BYTES = 2 ** 31 - 512;

export interface NewQcow2Geometry {
  readonly clusterSize: number;
  /** Clusters that one refcount block covers. */
  readonly blockEntries: number;
  /** Guest clusters that one L2 table covers. */
  readonly l2Entries: number;
  /** Bytes of one L2 entry: 8, with extended L2 16. */
  readonly l2EntryBytes: number;
  readonly guestClusters: number;
  /** L2 tables, which are L1 entries. */
  readonly l2Count: number;
  /** Guest clusters of the largest request. */
  readonly requestClusters: number;
}

/**
 * The counts that follow from options and capacity.
 *
 * Throws: usage, when the capacity needs an L1 table above 32 MiB, which QEMU refuses to open.
 */
export function newQcow2Geometry(options: NewQcow2Options, capacity: number): NewQcow2Geometry {
  const { clusterSize, extendedL2, refcountBits } = options;
  const l2EntryBytes = extendedL2 ? 16 : 8;
  const l2Entries = clusterSize / l2EntryBytes;
  const guestClusters = divideUp(capacity, clusterSize);
  const l2Count = divideUp(guestClusters, l2Entries);
  if (l2Count * 8 > MAX_L1_BYTES) {
    throw new PlimsollError('usage', 'CREATE_CAPACITY', {
      doing: 'plan a new qcow2',
      field: 'capacity',
      found: capacity,
      expected: `at most ${(MAX_L1_BYTES / 8) * l2Entries * clusterSize} bytes with cluster_size=${clusterSize}${extendedL2 ? ',extended_l2=on' : ''}`,
    });
  }
  return {
    clusterSize,
    blockEntries: (clusterSize * 8) / refcountBits,
    l2Entries,
    l2EntryBytes,
    guestClusters,
    l2Count,
    requestClusters: Math.floor(MAX_REQUEST_BYTES / clusterSize),
  };
}
