/** Reports with fixed contents, for tests of what is printed. */
import { type ChainLink, type ImageReport, type ScannedImage, type ScanReport, type StoreReport, component } from '#wire';
import { A_HOST } from './host.ts';

const GiB = 2 ** 30;

/** A fresh qcow2 of 40 GiB, save what `changes` says. */
export function anImage(changes: Partial<ImageReport> = {}): ImageReport {
  return {
    path: '/srv/vm/web.qcow2',
    format: 'qcow2',
    formatSource: 'signature',
    capacity: 40 * GiB,
    length: 197_248,
    allocation: 200_704,
    commitment: 42_956_451_840,
    expected: 42_956_427_264,
    residual: 42_956_251_136,
    reclaimable: 0,
    mapExcess: 0,
    maxLength: 42_956_488_704,
    method: 'map',
    unbounded: [],
    nextSnapshot: { bytes: 8192 },
    components: [
      component('allocated', 200_704),
      component('guest-data', 42_949_672_960),
      component('l2-tables', 5_242_880),
      component('refcounts', 1_310_720),
      component('host-map-growth', 24_576, 'ext4'),
    ],
    findings: [],
    chain: [],
    openForWriting: false,
    details: {
      version: 3,
      clusterSize: 65536,
      refcountBits: 16,
      extendedL2: false,
      compressionType: 'zlib',
      encryption: 'none',
      internalSnapshots: 0,
    },
    ...changes,
  };
}

/** An image that could not be read: nothing is known. */
export function anUnreadableImage(path: string): ImageReport {
  return anImage({
    path,
    format: null,
    formatSource: null,
    capacity: null,
    length: null,
    allocation: null,
    commitment: null,
    expected: null,
    residual: null,
    maxLength: null,
    method: null,
    nextSnapshot: null,
    components: [],
    openForWriting: null,
    details: {},
    error: { kind: 'io', code: 'IO_EACCES', message: 'Cannot open file: permission denied' },
  });
}

export function aLink(changes: Partial<ChainLink> = {}): ChainLink {
  return {
    role: 'backing',
    depth: 1,
    name: 'base.qcow2',
    path: '/srv/vm/base.qcow2',
    declaredFormat: 'qcow2',
    format: 'qcow2',
    status: 'opened',
    capacity: 10 * GiB,
    length: 2 * GiB,
    allocation: GiB,
    ...changes,
  };
}

export function aScannedImage(changes: Partial<ScannedImage> = {}): ScannedImage {
  return { ...anImage(changes), exclusive: 200_704, shared: 0, aliases: [], backingOf: [], neverWritten: null, ...changes };
}

/** A store of 500 GiB with one image, which fits. */
export function aStore(changes: Partial<StoreReport> = {}): StoreReport {
  return {
    id: 'uuid:5f2c3f0e-0d0f-4b5c-9c0e-1d2a3b4c5d6e',
    host: A_HOST.id,
    mount: '/srv/vm',
    type: 'ext4',
    size: 500 * GiB,
    used: 300 * GiB,
    available: 200 * GiB,
    allocation: 200_704,
    commitment: 42_956_451_840,
    residual: 42_956_251_136,
    otherHoles: 0,
    mapExcess: 0,
    shared: 0,
    floor: 0,
    headroom: 200 * GiB - 42_956_251_136,
    fits: true,
    assumed: [],
    images: [aScannedImage()],
    findings: [],
    ...changes,
  };
}

export function aScan(stores: readonly StoreReport[], errors: ScanReport['errors'] = []): ScanReport {
  return { schema: 'plimsoll.scan/1', host: A_HOST, definitions: {}, stores, errors };
}
