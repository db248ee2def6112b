/**
 * A disk whose descriptor is a file of its own and names the files that hold its data: flat and split images. The names are
 * handed on as data and never opened here. Source: VMware "Virtual Disk Format 5.0", "The Disk Descriptor File".
 */
import type { ReadableDevice } from '#block';
import { type Descriptor, hasParent } from './descriptor.ts';
import { DOING, readLines, ownText } from './descriptor-text.ts';
import { type DescriptorExtent, extentWrong, type RequestedName } from './extent-line.ts';
import { readVmdkFacts, type VmdkFacts } from './image.ts';
import { LIMITS, SECTOR } from './layout.ts';
import { vmdkError } from './vmdk-error.ts';

/** flat: the bytes as they are; sparse: an extent with grain tables of its own. */
export type ExtentFileKind = 'flat' | 'sparse';

/** A file that holds a part of the disk. Units: bytes. */
export interface ExtentFile {
  readonly name: RequestedName;
  readonly kind: ExtentFileKind;
  /** Of the disk, together: a descriptor can name one file several times. */
  readonly capacity: number;
  /** flat: how far the guest's writes reach in the file. QEMU extends a file that is shorter. */
  readonly reach: number;
}

/** A run of guest bytes, in the order of the disk. Units: bytes. */
export interface DiskPiece {
  /** undefined: zeros, without a file. */
  readonly file: { readonly name: RequestedName; readonly kind: ExtentFileKind } | undefined;
  readonly byteLength: number;
  /** flat: where the run begins in the file. */
  readonly fileOffset: number;
}

export interface SplitDisk {
  readonly createType: string;
  readonly capacity: number;
  /** As QEMU 7.2 counts it: without extents that are not RW, or ZERO; an empty line in front of an extent repeats that. */
  readonly qemuCapacity: number;
  readonly files: readonly ExtentFile[];
  readonly pieces: readonly DiskPiece[];
  /** The image is the difference to a parent, by this name; it can be empty. */
  readonly parent: string | undefined;
}

const KINDS: Readonly<Partial<Record<DescriptorExtent['type'], ExtentFileKind>>> = { FLAT: 'flat', VMFS: 'flat', SPARSE: 'sparse' };

const CREATE_TYPES: ReadonlySet<string> = new Set([
  ...['monolithicFlat', 'twoGbMaxExtentFlat', 'twoGbMaxExtentSparse', 'custom'],
  ...['vmfs', 'vmfsThin', 'vmfsPreallocated', 'vmfsEagerZeroedThick'],
]);

/**
 * The disk that the descriptor in `file` describes; undefined where the file is not a descriptor of its own.
 *
 * Bounds: at most 1 MiB of text, and 4096 files.
 * Throws: as `readVmdkFacts`, and its refusal where the type is not one of those above; corrupt, over-budget.
 */
export async function readSplitDisk(file: ReadableDevice): Promise<SplitDisk | undefined> {
  return splitDiskOf(await readVmdkFacts(file));
}

/** As `readSplitDisk`, of facts that were read already. */
export function splitDiskOf({ header, descriptor, descriptorArea, refusal }: VmdkFacts): SplitDisk | undefined {
  if (header !== undefined) return undefined;
  const isRead = CREATE_TYPES.has(descriptor.createType) && descriptor.extents.every(({ type }) => type === 'ZERO' || type in KINDS);
  if (!isRead && refusal !== undefined) throw refusal;
  if (descriptor.extents.length === 0) throw extentWrong({ number: 1, at: 0 }, 'no extent', 'one at least');
  const { createType } = descriptor;
  const capacity = bytesOf(
    descriptor.extents.reduce((sum, { sectors }) => sum + sectors, 0),
    descriptor.extents[0],
  );
  const qemuCapacity = qemuSectors(descriptor, descriptorArea) * SECTOR;
  const { extents } = descriptor;
  return { createType, capacity, qemuCapacity, files: filesOf(descriptor), pieces: extents.map(pieceOf), parent: parentOf(descriptor) };
}

function pieceOf({ name, type, sectors, offset = 0 }: DescriptorExtent): DiskPiece {
  const kind = KINDS[type];
  const file = name === undefined || kind === undefined ? undefined : { name, kind };
  return { file, byteLength: sectors * SECTOR, fileOffset: offset * SECTOR };
}

function parentOf(descriptor: Descriptor): string | undefined {
  return hasParent(descriptor) ? (descriptor.parentFileNameHint?.text ?? '') : undefined;
}

/** The files in the order of the disk, each once for each kind. */
function filesOf({ extents }: Descriptor): ExtentFile[] {
  const files = new Map<string, ExtentFile>();
  for (const extent of extents) {
    const { name, type, sectors, offset = 0 } = extent;
    const kind = KINDS[type];
    if (name === undefined || kind === undefined) continue;
    const key = `${kind} ${String.fromCharCode(...name.bytes)}`;
    const known = files.get(key);
    const reach = Math.max(known?.reach ?? 0, bytesOf(offset + sectors, extent));
    files.set(key, { name, kind, capacity: (known?.capacity ?? 0) + sectors * SECTOR, reach });
    if (files.size > LIMITS.extentFiles)
      throw vmdkError('over-budget', 'VMDK_EXTENT_COUNT', placeOf(extent), `${files.size} files`, `at most ${LIMITS.extentFiles}`);
  }
  return [...files.values()];
}

function bytesOf(sectors: number, extent: DescriptorExtent | undefined): number {
  if (sectors * SECTOR <= Number.MAX_SAFE_INTEGER) return sectors * SECTOR;
  throw vmdkError('corrupt', 'VMDK_CAPACITY', placeOf(extent), sectors, 'fewer than 2^53 bytes');
}

function placeOf(extent: DescriptorExtent | undefined): { doing: string; field: string; at: number } {
  return { doing: DOING, field: `line ${extent?.line ?? 1}`, at: extent?.at ?? 0 };
}

/** QEMU reads each line with a function that skips line ends, too: an empty line is read as the extent behind it. */
function qemuSectors({ extents }: Descriptor, area: Uint8Array): number {
  const lines = readLines(ownText(area), 0);
  let total = 0;
  for (const { access, type, sectors, line } of extents) {
    if (access !== 'RW' || type === 'ZERO') continue;
    let times = 1;
    while (lines[line - 1 - times]?.text === '') times += 1;
    total += sectors * times;
  }
  return total;
}
