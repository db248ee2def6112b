/**
 * Which host clusters the structures of an image refer to: what refcounts must account for. Every structure of metadata claims its
 * clusters for itself. Source: qcow2 spec, "Host cluster management".
 */
import { divideUp, PlimsollError, type Range } from '#base';
import { type ChunkBudget, ClusterSet } from '../../clusters/index.ts';
import type { Header } from '../header.ts';
import { MetadataClaims } from './metadata-claims.ts';

/** An entry that contradicts the specification and that QEMU may still read: its offset in the file, and why. */
export interface InvalidEntry {
  readonly at: number;
  readonly what: string;
}

export class ClusterReferences {
  /** All clusters with a reference, those of guest data that is written in place excepted until `addInPlace`. */
  readonly referenced: ClusterSet;
  /** Clusters of guest data that is not written in place: shared, of a snapshot, compressed. */
  readonly otherData: ClusterSet;
  /** Clusters of the L2 tables that were met. */
  readonly tables: ClusterSet;
  firstInvalidEntry: InvalidEntry | undefined;
  readonly #claims: MetadataClaims;
  readonly #header: Header;
  readonly #fileLength: number;

  constructor(header: Header, fileLength: number, budget: ChunkBudget) {
    this.#header = header;
    this.#fileLength = fileLength;
    this.referenced = new ClusterSet(budget);
    this.otherData = new ClusterSet(budget);
    this.tables = new ClusterSet(budget);
    this.#claims = new MetadataClaims(budget);
  }

  /** Claims the bytes [offset, offset + byteLength) for `what`. Throws: corrupt, when a cluster holds another structure. */
  claim(offset: number, byteLength: number, what: string): void {
    const { clusterSize } = this.#header;
    if (byteLength > 0) this.#claims.claim(Math.floor(offset / clusterSize), divideUp(offset + byteLength, clusterSize), what, clusterSize);
  }

  claimAndReference(offset: number, byteLength: number, what: string): void {
    this.claim(offset, byteLength, what);
    this.addBytes(offset, byteLength);
  }

  /** Claims the cluster of an L2 table. Throws: corrupt, as `claim`. */
  claimTable(cluster: number): void {
    this.#claims.claim(cluster, cluster + 1, 'L2 table', this.#header.clusterSize);
    this.tables.add(cluster);
  }

  addBytes(offset: number, byteLength: number): void {
    if (byteLength === 0) return;
    const { clusterSize } = this.#header;
    this.referenced.addRun(Math.floor(offset / clusterSize), divideUp(offset + byteLength, clusterSize));
  }

  /** Clusters [start, end) of guest data that is not written in place. */
  addData(start: number, end: number): void {
    this.referenced.addRun(start, end);
    this.otherData.addRun(start, end);
  }

  addInPlace(clusters: ClusterSet): void {
    for (const run of clusters.runs()) this.referenced.addRun(run.start, run.end);
  }

  /** The clusters that compressed data touches, now referenced. Throws: corrupt, when it begins past the end of the file. */
  addCompressed(fileOffset: number, byteLength: number, entryAt: number): Range {
    const { clusterSize } = this.#header;
    if (fileOffset >= this.#fileLength) throw compressedOutside(fileOffset, entryAt, this.#fileLength);
    const run = { start: Math.floor(fileOffset / clusterSize), end: Math.floor((fileOffset + byteLength - 1) / clusterSize) + 1 };
    this.addData(run.start, run.end);
    return run;
  }

  noteInvalid(at: number, what: string): void {
    this.firstInvalidEntry ??= { at, what };
  }

  /** Throws: corrupt, when guest data that is written in place lies in a claimed cluster. */
  refuseOverlap(inPlace: ClusterSet): void {
    this.#claims.refuseData(inPlace, this.#header.clusterSize);
  }

  /** The lowest cluster of other guest data that holds a structure too. */
  dataOverTable(): number | undefined {
    return this.#claims.firstWith(this.otherData);
  }
}

function compressedOutside(offset: number, at: number, fileLength: number): PlimsollError {
  return new PlimsollError('corrupt', 'QCOW2_COMPRESSED_OFFSET', {
    doing: 'read qcow2 L2 table',
    field: 'compressed cluster offset',
    at,
    found: `0x${offset.toString(16)}`,
    expected: `inside the file of ${fileLength} bytes`,
  });
}
