/** The VHD footer: what the disk is, how large, and by whose reckoning. Source: VHD specification, "Hard Disk Footer Format". */
import { type ErrorValue, PlimsollError } from '#base';
import { DISK_TYPE, FOOTER, FOOTER_COOKIE, LARGEST_GEOMETRY_SECTORS, LIMITS, SECTOR, VERSION_MAJOR } from './layout.ts';

const DOING = 'read VHD footer';

export type VhdDiskType = 'fixed' | 'dynamic' | 'differencing';

/** A checked footer. Sizes in bytes. */
export interface VhdFooter {
  readonly diskType: VhdDiskType;
  /** What the guest sees, as QEMU reckons. */
  readonly capacity: number;
  /** Which of the two sizes the capacity is; other readers may take the other one. */
  readonly capacityFrom: 'geometry' | 'current size';
  readonly currentSize: number;
  /** Cylinders × heads × sectors × 512. */
  readonly geometryBytes: number;
  /** Four characters: `qemu`, `win `, `vbox`, ... */
  readonly creatorApplication: string;
  readonly creatorHostOs: string;
  /** Seconds since 2000-01-01 UTC. */
  readonly timeStamp: number;
  /** 32 hexadecimal digits with dashes. */
  readonly uniqueId: string;
  readonly savedState: boolean;
  /** Of the dynamic disk header; undefined for fixed disks. */
  readonly dataOffset: number | undefined;
}

/** Creators whose images are as long as `current size` says; for all others QEMU 7.2 multiplies the geometry. */
const CREATORS_BY_SIZE: readonly string[] = ['win ', 'qem2', 'd2v ', 'tap\0', 'CTXS'];

/** Whether a sector begins as a footer does. */
export function hasFooterCookie(sector: Uint8Array): boolean {
  return sector.byteLength >= SECTOR && latin1(sector.subarray(0, 8)) === FOOTER_COOKIE;
}

/** The checksum of a structure: the complement of the sum of all its bytes but those of the checksum itself at `checksumAt`. */
export function checksumOf(structure: Uint8Array, checksumAt: number): number {
  let sum = 0;
  for (let at = 0; at < structure.byteLength; at += 1) if (at < checksumAt || at >= checksumAt + 4) sum += structure[at] as number;
  return 0xffffffff - sum;
}

/**
 * The checked footer in `sector`, which lies at `fileOffset`.
 *
 * `sector`: 512 bytes.
 * Throws: corrupt (cookie, checksum, a size out of range), unsupported (version, disk type, more than 2040 GiB).
 */
export function parseFooter(sector: Uint8Array, fileOffset: number): VhdFooter {
  const wrong = (kind: 'corrupt' | 'unsupported', code: string, field: string, at: number, found: ErrorValue, expected: string): Error =>
    new PlimsollError(kind, code, { doing: DOING, field, at: fileOffset + at, found, expected });
  // First of all: of a file that is something else every other field is noise.
  if (!hasFooterCookie(sector)) throw wrong('corrupt', 'VHD_COOKIE', 'cookie', 0, latin1(sector.subarray(0, 8)), FOOTER_COOKIE);
  const raw = FOOTER.read(new DataView(sector.buffer, sector.byteOffset, sector.byteLength), 0, fileOffset);
  const checksum = checksumOf(sector.subarray(0, FOOTER.byteLength), FOOTER.fields.checksum.at);
  if (raw.checksum !== checksum) throw wrong('corrupt', 'VHD_CHECKSUM', 'checksum', 64, hex(raw.checksum), hex(checksum));
  if (Math.floor(raw.fileFormatVersion / 0x10000) !== VERSION_MAJOR) {
    throw wrong('unsupported', 'VHD_VERSION', 'file format version', 12, hex(raw.fileFormatVersion), '0x00010000');
  }
  const diskType = diskTypeOf(raw.diskType);
  if (diskType === undefined) throw wrong('unsupported', 'VHD_DISK_TYPE', 'disk type', 60, raw.diskType, '2, 3 or 4');
  const geometrySectors = raw.cylinders * raw.heads * raw.sectorsPerTrack;
  const creatorApplication = latin1(raw.creatorApplication);
  const bySize = CREATORS_BY_SIZE.includes(creatorApplication) || geometrySectors === LARGEST_GEOMETRY_SECTORS;
  const sectors = bySize ? Math.floor(raw.currentSize / SECTOR) : geometrySectors;
  if (sectors > LIMITS.capacitySectors) {
    throw wrong('unsupported', 'VHD_CAPACITY', 'current size', 48, raw.currentSize, `at most ${LIMITS.capacitySectors * SECTOR}`);
  }
  const dataOffset = diskType === 'fixed' ? undefined : Number(raw.dataOffset);
  if (dataOffset !== undefined && (dataOffset < SECTOR || !Number.isSafeInteger(dataOffset))) {
    throw wrong('corrupt', 'VHD_DATA_OFFSET', 'data offset', 16, raw.dataOffset, 'behind the copy of the footer');
  }
  return {
    diskType,
    capacity: sectors * SECTOR,
    capacityFrom: bySize ? 'current size' : 'geometry',
    currentSize: raw.currentSize,
    geometryBytes: geometrySectors * SECTOR,
    creatorApplication,
    creatorHostOs: latin1(raw.creatorHostOs),
    timeStamp: raw.timeStamp,
    uniqueId: uuidText(raw.uniqueId),
    savedState: raw.savedState !== 0,
    dataOffset,
  };
}

/**
 * Whether the footer's two sizes differ, so that a reader of the one sees another disk than a reader of the other. The largest
 * geometry stands for any size that is larger.
 */
export function hasTwoSizes({ currentSize, geometryBytes }: VhdFooter): boolean {
  return currentSize !== geometryBytes && geometryBytes !== LARGEST_GEOMETRY_SECTORS * SECTOR;
}

/** Whether two footers describe the same disk; time stamps and saved state may differ. */
export function isSameDisk(one: VhdFooter, other: VhdFooter): boolean {
  return (
    one.diskType === other.diskType &&
    one.capacity === other.capacity &&
    one.currentSize === other.currentSize &&
    one.geometryBytes === other.geometryBytes &&
    one.dataOffset === other.dataOffset &&
    one.creatorApplication === other.creatorApplication &&
    one.uniqueId === other.uniqueId
  );
}

function diskTypeOf(value: number): VhdDiskType | undefined {
  if (value === DISK_TYPE.fixed) return 'fixed';
  if (value === DISK_TYPE.dynamic) return 'dynamic';
  return value === DISK_TYPE.differencing ? 'differencing' : undefined;
}

/** One character a byte. */
export function latin1(content: Uint8Array): string {
  return String.fromCharCode(...content);
}

export function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}

/** A UUID as this format stores it, the most significant byte first. */
export function uuidText(id: Uint8Array): string {
  const digits = Array.from(id, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)].join('-');
}
