/**
 * The layout of a new qcow2, cluster by cluster, in the order in which `qemu-img create` of QEMU 7.2 makes it: header,
 * refcount table and block, L1 table, then what preallocation asks for, then the encryption header. Pure: no bytes yet.
 * Source: facts from block/qcow2.c (`qcow2_co_create`, `qcow2_co_truncate`, `preallocate_co`), and measured.
 */
import { divideUp, PlimsollError, type Range } from '#base';
import { NewImageAllocator } from './allocator.ts';
import { DataRuns } from './data-runs.ts';
import { writtenTail } from './storage.ts';
import { newQcow2Geometry, type NewQcow2Geometry, type NewQcow2Options, type Preallocation } from './options.ts';

export interface NewQcow2Plan {
  readonly options: NewQcow2Options;
  /** What is really preallocated: data_file_raw needs at least the metadata. */
  readonly preallocation: Preallocation;
  readonly geometry: NewQcow2Geometry;
  /** Bytes the guest sees: what was asked for, rounded up to 512. */
  readonly capacity: number;
  /** Length of the finished file. */
  readonly length: number;
  readonly allocator: NewImageAllocator;
  /** Cluster of the L1 table, 0 when there is none (capacity 0). */
  readonly l1Cluster: number;
  /** Cluster of each L2 table, empty when none is preallocated. */
  readonly l2Clusters: readonly number[];
  /** Preallocated guest clusters; with an external data file the host clusters are that file's. */
  readonly data: DataRuns;
  /** Clusters of the encryption header. */
  readonly luks: Range | undefined;
}

/** QCOW_MAX_REFTABLE_SIZE: QEMU opens no image with a larger refcount table. */
const MAX_REFCOUNT_TABLE_BYTES = 8 * 1024 * 1024;

/**
 * The layout that `qemu-img create` gives an image of `capacity` bytes.
 *
 * Throws: usage, when the capacity is too large for the cluster size (L1 table or refcount table).
 */
export function planNewQcow2(options: NewQcow2Options, capacity: number): NewQcow2Plan {
  const wholeSectors = divideUp(capacity, 512) * 512;
  const geometry = newQcow2Geometry(options, wholeSectors);
  const preallocation = options.dataFileRaw && options.preallocation === 'off' ? 'metadata' : options.preallocation;
  const allocator = NewImageAllocator.start(geometry);
  const builder = new LayoutBuilder(geometry, allocator);
  builder.placeL1();
  builder.preallocate(preallocation, options.dataFile !== undefined);
  builder.placeLuks(options.luksHeaderBytes);
  refuseLargeRefcountTable(allocator, geometry, wholeSectors);
  const { l1Cluster, l2Clusters, data, luks } = builder;
  const plan = { options, preallocation, geometry, capacity: wholeSectors, allocator, l1Cluster, l2Clusters, data, luks };
  return { ...plan, length: lengthOf(plan) };
}

/** The plan while it is being made. */
class LayoutBuilder {
  l1Cluster = 0;
  readonly l2Clusters: number[] = [];
  readonly data = new DataRuns();
  luks: Range | undefined;
  readonly #geometry: NewQcow2Geometry;
  readonly #allocator: NewImageAllocator;

  constructor(geometry: NewQcow2Geometry, allocator: NewImageAllocator) {
    this.#geometry = geometry;
    this.#allocator = allocator;
  }

  placeL1(): void {
    const { l2Count, clusterSize } = this.#geometry;
    if (l2Count > 0) this.l1Cluster = this.#allocator.allocate(divideUp(l2Count * 8, clusterSize));
  }

  preallocate(mode: Preallocation, hasDataFile: boolean): void {
    if (mode === 'off') return;
    if (hasDataFile) this.#mapDataFile();
    else if (mode === 'metadata') this.#allocateInRequests();
    else this.#allocateInOneArea();
  }

  placeLuks(headerBytes: number): void {
    if (headerBytes === 0) return;
    const clusters = divideUp(headerBytes, this.#geometry.clusterSize);
    const start = this.#allocator.allocate(clusters);
    this.luks = { start, end: start + clusters };
  }

  /** With an external data file guest offsets are host offsets there, and only L2 tables are needed here. */
  #mapDataFile(): void {
    this.#ensureL2(this.#geometry.guestClusters);
    if (this.#geometry.guestClusters > 0) this.data.add(0, 0, this.#geometry.guestClusters);
  }

  /** `preallocation=metadata`: the allocator's way of a guest that writes everything in the largest requests. */
  #allocateInRequests(): void {
    const { guestClusters, requestClusters } = this.#geometry;
    for (let guest = 0; guest < guestClusters; ) guest += this.#allocateRequest(guest, Math.min(requestClusters, guestClusters - guest));
  }

  /**
   * One request, an L2 table at a time: it goes on behind its first run as long as it is free there. (Later on QEMU reads
   * large L2 tables in slices of 64 KiB and allocates within one, but not while the image is being made: the cache covers
   * an empty image whole, measured.) Returns the clusters it got.
   */
  #allocateRequest(guest: number, most: number): number {
    const { l2Entries } = this.#geometry;
    let host = -1;
    let done = 0;
    while (done < most) {
      const at = guest + done;
      this.#ensureL2(at + 1);
      const wanted = Math.min(most - done, l2Entries - (at % l2Entries));
      let got = wanted;
      if (host < 0) host = this.#allocator.allocate(wanted);
      else got = this.#allocator.allocateAt(host + done, wanted);
      if (got === 0) break;
      this.data.add(at, host + done, got);
      done += got;
    }
    return done;
  }

  /**
   * `preallocation=falloc|full`: new refcount structures for everything, then the data in one run, then the L2 tables;
   * the first of these land where the refcount table was.
   */
  #allocateInOneArea(): void {
    const { guestClusters, l2Count } = this.#geometry;
    const allocator = this.#allocator;
    const start = allocator.placeRefcountArea(allocator.free.frontier, guestClusters + l2Count + 1, true);
    allocator.allocateAt(start, guestClusters);
    if (guestClusters > 0) this.data.add(0, start, guestClusters);
    this.#ensureL2(guestClusters);
  }

  /** L2 tables for the first `guestClusters` guest clusters. */
  #ensureL2(guestClusters: number): void {
    const wanted = divideUp(guestClusters, this.#geometry.l2Entries);
    while (this.l2Clusters.length < wanted) this.l2Clusters.push(this.#allocator.allocate(1));
  }
}

/**
 * The end of what is written or, with `preallocation=metadata`, of the last guest byte's (sub)cluster.
 *
 * QEMU looks at the end of its last request only; where a hole took that one, its file may end before data that was
 * mapped earlier. Here the file always covers its data.
 */
function lengthOf(plan: Omit<NewQcow2Plan, 'length'>): number {
  const { clusterSize, l2Count } = plan.geometry;
  const { allocator, l1Cluster } = plan;
  const end = Math.max(allocator.free.frontier, ...allocator.abandoned.map((run) => run.end));
  const l1Clusters = divideUp(l2Count * 8, clusterSize);
  if (l1Clusters > 0 && end === l1Cluster + l1Clusters) return l1Cluster * clusterSize + l2Count * 8;
  const tail = plan.preallocation === 'metadata' && plan.options.dataFile === undefined ? writtenTail(plan) : undefined;
  return tail !== undefined && Math.ceil(tail.end / clusterSize) === end ? tail.end : end * clusterSize;
}

function refuseLargeRefcountTable(allocator: NewImageAllocator, geometry: NewQcow2Geometry, capacity: number): void {
  const tableBytes = allocator.tableClusters * geometry.clusterSize;
  if (tableBytes <= MAX_REFCOUNT_TABLE_BYTES) return;
  throw new PlimsollError('usage', 'CREATE_REFCOUNT_TABLE', {
    doing: `plan a new qcow2 of ${capacity} bytes`,
    field: 'refcount table',
    found: `${tableBytes} bytes`,
    expected: `at most ${MAX_REFCOUNT_TABLE_BYTES} bytes; use a larger cluster_size or a smaller refcount_bits`,
  });
}
