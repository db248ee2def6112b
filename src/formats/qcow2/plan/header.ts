/**
 * The first cluster of a new qcow2: header, header extensions, backing file name, as QEMU 7.2 writes them.
 * Source: qcow2 specification, "Header" and "Header extensions"; which extensions there are was read off real images.
 */
import { PlimsollError } from '#base';
import { EXTENSION, LIMITS, MAGIC } from '../layout.ts';
import type { NewQcow2Plan } from './layout.ts';

export interface NewBacking {
  /** The name as it is recorded, relative to the image's directory or absolute. */
  readonly file: string;
  readonly format: string;
}

/** Feature kinds of the feature name table: incompatible, compatible, autoclear. */
const FEATURE_NAMES: readonly (readonly [kind: number, bit: number, name: string])[] = [
  [0, 0, 'dirty bit'],
  [0, 1, 'corrupt bit'],
  [0, 2, 'external data file'],
  [0, 3, 'compression type'],
  [0, 4, 'extended L2 entries'],
  [1, 0, 'lazy refcounts'],
  [2, 0, 'bitmaps'],
  [2, 1, 'raw external data'],
];
const FEATURE_NAME_BYTES = 48;

/** QEMU leaves the feature names out where less than this is left of the first cluster behind the header. */
const FEATURE_NAMES_NEED = 4096;

const HEADER_BYTES_V2 = 72;
const HEADER_BYTES_V3 = 112;

/**
 * The first cluster, whole.
 *
 * Throws: usage, when the backing name is longer than 1023 bytes or does not fit the cluster.
 */
export function newHeaderCluster(plan: NewQcow2Plan, backing: NewBacking | undefined): Uint8Array {
  const { clusterSize } = plan.geometry;
  const cluster = new Uint8Array(clusterSize);
  const view = new DataView(cluster.buffer);
  writeFixedFields(view, plan);
  const writer = new ExtensionWriter(cluster, plan.options.version === 2 ? HEADER_BYTES_V2 : HEADER_BYTES_V3);
  if (backing !== undefined) writer.add(EXTENSION.backingFormat, encode(backing.format));
  if (plan.options.dataFile !== undefined) writer.add(EXTENSION.dataFile, encode(plan.options.dataFile));
  if (plan.options.version === 3 && writer.room >= FEATURE_NAMES_NEED) writer.add(EXTENSION.featureNames, featureNames());
  writer.add(EXTENSION.end, new Uint8Array(0));
  if (backing !== undefined) writeBackingName(view, writer, backing.file);
  return cluster;
}

/** Header bytes 0 to 111. */
function writeFixedFields(view: DataView, plan: NewQcow2Plan): void {
  const { options, geometry, allocator } = plan;
  const { clusterSize } = geometry;
  view.setUint32(0, MAGIC);
  view.setUint32(4, options.version);
  view.setUint32(20, Math.log2(clusterSize));
  writeUint64(view, 24, plan.capacity);
  view.setUint32(36, geometry.l2Count);
  writeUint64(view, 40, plan.l1Cluster * clusterSize);
  writeUint64(view, 48, allocator.tableCluster * clusterSize);
  view.setUint32(56, allocator.tableClusters);
  if (options.version === 2) return;
  const isZstd = options.compressionType === 'zstd';
  const incompatible = (options.dataFile === undefined ? 0 : 4) + (isZstd ? 8 : 0) + (options.extendedL2 ? 16 : 0);
  writeUint64(view, 72, incompatible);
  writeUint64(view, 80, options.lazyRefcounts ? 1 : 0);
  writeUint64(view, 88, options.dataFileRaw ? 2 : 0);
  view.setUint32(96, Math.log2(options.refcountBits));
  view.setUint32(100, HEADER_BYTES_V3);
  view.setUint8(104, isZstd ? 1 : 0);
}

function writeBackingName(view: DataView, writer: ExtensionWriter, name: string): void {
  const bytes = encode(name);
  if (bytes.byteLength > LIMITS.backingNameBytes) {
    throw new PlimsollError('usage', 'CREATE_BACKING_NAME', {
      doing: 'write qcow2 header',
      field: 'backing file name',
      found: `${bytes.byteLength} bytes`,
      expected: `at most ${LIMITS.backingNameBytes}`,
    });
  }
  writeUint64(view, 8, writer.position);
  view.setUint32(16, bytes.byteLength);
  writer.append(bytes);
}

/** Appends to the first cluster and refuses to leave it. */
class ExtensionWriter {
  readonly #cluster: Uint8Array;
  #position: number;

  constructor(cluster: Uint8Array, position: number) {
    this.#cluster = cluster;
    this.#position = position;
  }

  get position(): number {
    return this.#position;
  }

  get room(): number {
    return this.#cluster.byteLength - this.#position;
  }

  /** One extension: type, length, data, padded to 8 bytes. */
  add(type: number, data: Uint8Array): void {
    const head = new Uint8Array(8);
    const view = new DataView(head.buffer);
    view.setUint32(0, type);
    view.setUint32(4, data.byteLength);
    this.append(head);
    this.append(data);
    this.append(new Uint8Array((8 - (data.byteLength % 8)) % 8));
  }

  append(bytes: Uint8Array): void {
    if (bytes.byteLength > this.room) {
      throw new PlimsollError('usage', 'CREATE_HEADER_FULL', {
        doing: 'write qcow2 header',
        field: 'names of backing and data file',
        found: `${bytes.byteLength - this.room} bytes too many`,
        expected: `a header within one cluster of ${this.#cluster.byteLength} bytes; use a larger cluster_size`,
      });
    }
    this.#cluster.set(bytes, this.#position);
    this.#position += bytes.byteLength;
  }
}

function featureNames(): Uint8Array {
  const table = new Uint8Array(FEATURE_NAMES.length * FEATURE_NAME_BYTES);
  FEATURE_NAMES.forEach(([kind, bit, name], index) => {
    table.set([kind, bit, ...encode(name)], index * FEATURE_NAME_BYTES);
  });
  return table;
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** A number below 2^53 as 64 bits, big-endian. */
export function writeUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 2 ** 32));
  view.setUint32(at + 4, value % 2 ** 32);
}
