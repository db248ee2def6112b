/** The VDI header, checked. Source: VirtualBox's VDI 1.1 as QEMU's block/vdi.c describes it. */
import { type ErrorValue, PlimsollError, roundUp } from '#base';
import { BLOCK_SIZE, HEADER, LIMITS, SECTOR, SIGNATURE, VERSION_1_1 } from './layout.ts';

export type VdiImageType = 'dynamic' | 'static' | 'undo' | 'differencing';

/** A checked header. Offsets and lengths in bytes; the block map lies inside the file and in front of the data. */
export interface VdiHeader {
  readonly imageType: VdiImageType;
  /** disk_size, up to the next sector. */
  readonly capacity: number;
  readonly offsetBmap: number;
  readonly offsetData: number;
  readonly blockSize: number;
  readonly blocksInImage: number;
  /** As the header says; QEMU places the next new block by it. */
  readonly blocksAllocated: number;
  readonly uuidImage: string;
  readonly uuidLastSnap: string;
}

/** What a differencing image says of its parent: VDI records no name, only UUIDs. */
export interface VdiParent {
  /** The parent's uuidImage. */
  readonly uuid: string;
  readonly uuidBytes: Uint8Array;
  /** The parent's uuidLastSnap when the image was made. */
  readonly uuidLastSnap: string;
}

const IMAGE_TYPES: readonly (VdiImageType | undefined)[] = [undefined, 'dynamic', 'static', 'undo', 'differencing'];

/**
 * The checked header in `content`, the first 512 bytes of a file of `fileLength` bytes; the parent where the image has one.
 *
 * Throws: corrupt (a field out of its range, the map outside the file or over the data), unsupported (version, type, block
 * size), over-budget (a map for more than 32 TiB).
 */
export function parseHeader(content: Uint8Array, fileLength: number): { header: VdiHeader; parent: VdiParent | undefined } {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  // First of all: of a file that is something else every other field is noise.
  const signature = content.byteLength < HEADER.byteLength ? SIGNATURE : view.getUint32(HEADER.fields.signature.at, true);
  if (signature !== SIGNATURE) throw wrong('corrupt', 'VDI_SIGNATURE', 'signature', 64, hex(signature), hex(SIGNATURE));
  const raw = HEADER.read(view);
  if (raw.version !== VERSION_1_1) throw wrong('unsupported', 'VDI_VERSION', 'version', 68, hex(raw.version), hex(VERSION_1_1));
  const imageType = IMAGE_TYPES[raw.imageType];
  if (imageType === undefined) throw wrong('unsupported', 'VDI_IMAGE_TYPE', 'image type', 76, raw.imageType, '1 to 4');
  if (raw.sectorSize !== SECTOR) throw wrong('unsupported', 'VDI_SECTOR_SIZE', 'sector size', 360, raw.sectorSize, '512');
  if (raw.blockSize !== BLOCK_SIZE) throw wrong('unsupported', 'VDI_BLOCK_SIZE', 'block size', 376, raw.blockSize, String(BLOCK_SIZE));
  if (raw.blockExtra !== 0) throw wrong('unsupported', 'VDI_BLOCK_EXTRA', 'block extra', 380, raw.blockExtra, '0');
  const { blocksInImage, offsetBmap, offsetData } = raw;
  const capacity = roundUp(raw.diskSize, SECTOR);
  if (capacity > blocksInImage * BLOCK_SIZE) {
    const expected = `at most ${blocksInImage * BLOCK_SIZE}, what the block map has room for`;
    throw wrong('corrupt', 'VDI_DISK_SIZE', 'disk size', 368, raw.diskSize, expected);
  }
  if (blocksInImage * 4 > LIMITS.mapBytes) {
    throw wrong('over-budget', 'VDI_MAP_LIMIT', 'blocks in image', 384, blocksInImage, `at most ${LIMITS.mapBytes / 4}`);
  }
  const mapEnd = offsetBmap + blocksInImage * 4;
  if (offsetBmap < HEADER.byteLength || offsetBmap % SECTOR !== 0 || mapEnd > fileLength) {
    const expected = `a multiple of 512 behind the header, the map inside the file of ${fileLength} bytes`;
    throw wrong('corrupt', 'VDI_BMAP_OFFSET', 'block map offset', 340, offsetBmap, expected);
  }
  if (offsetData % SECTOR !== 0 || offsetData < mapEnd) {
    throw wrong('corrupt', 'VDI_DATA_OFFSET', 'data offset', 344, offsetData, `a multiple of 512 from ${mapEnd} on, behind the block map`);
  }
  const hasParent = imageType === 'undo' || imageType === 'differencing' || !isZero(raw.uuidLink) || !isZero(raw.uuidParent);
  return {
    header: {
      imageType,
      capacity,
      offsetBmap,
      offsetData,
      blockSize: raw.blockSize,
      blocksInImage,
      blocksAllocated: raw.blocksAllocated,
      uuidImage: guidText(raw.uuidImage),
      uuidLastSnap: guidText(raw.uuidLastSnap),
    },
    parent: hasParent
      ? { uuid: guidText(raw.uuidLink), uuidBytes: raw.uuidLink.slice(), uuidLastSnap: guidText(raw.uuidParent) }
      : undefined,
  };
}

type Kind = 'corrupt' | 'unsupported' | 'over-budget';

function wrong(kind: Kind, code: string, field: string, at: number, found: ErrorValue, expected: string): PlimsollError {
  return new PlimsollError(kind, code, { doing: 'read VDI header', field, at, found, expected });
}

function isZero(content: Uint8Array): boolean {
  return content.every((byte) => byte === 0);
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}

/** A UUID whose first three groups are stored with the least significant byte first. */
function guidText(id: Uint8Array): string {
  const digits = (from: number, to: number): string =>
    Array.from(id.subarray(from, to), (byte) => byte.toString(16).padStart(2, '0')).join('');
  const swapped = (from: number, to: number): string =>
    Array.from(id.subarray(from, to).slice().reverse(), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [swapped(0, 4), swapped(4, 6), swapped(6, 8), digits(8, 10), digits(10, 16)].join('-');
}
