/**
 * The dynamic disk header, and the parent that it names in a differencing disk. Source: VHD specification, "Dynamic Disk
 * Header Format".
 */
import { type ErrorValue, isPowerOfTwo, PlimsollError } from '#base';
import { checksumOf, hex, latin1, uuidText } from './footer.ts';
import { DYNAMIC_HEADER, HEADER_COOKIE, LIMITS, PARENT_LOCATOR, PARENT_LOCATORS, SECTOR, VERSION_MAJOR } from './layout.ts';

const DOING = 'read VHD dynamic disk header';

/** A checked dynamic disk header. Offsets and lengths in bytes; the table lies inside the file. */
export interface VhdDynamicHeader {
  readonly fileOffset: number;
  readonly tableOffset: number;
  readonly maxTableEntries: number;
  readonly blockSize: number;
  /** Bytes of the sector bitmap in front of each block: whole sectors. */
  readonly sectorBitmapBytes: number;
}

/** A name of the parent as the image records it; nothing here opens it. */
export interface VhdParentName {
  readonly bytes: Uint8Array;
  /** undefined where the platform's encoding is not text. */
  readonly text: string | undefined;
}

/** Where a parent locator's name lies; it is read by `image.ts`. */
export interface VhdParentPlace {
  /** `W2ru` relative, `W2ku` absolute, `MacX` a URL, `Wi2r`, `Wi2k`, `Mac `. */
  readonly platformCode: string;
  readonly fileOffset: number;
  readonly byteLength: number;
}

export interface VhdParentLocator extends VhdParentPlace, VhdParentName {}

/** What a differencing disk says of its parent. */
export interface VhdParent {
  readonly uniqueId: string;
  /** Seconds since 2000-01-01 UTC. */
  readonly timeStamp: number;
  readonly unicodeName: VhdParentName;
  readonly locators: readonly VhdParentLocator[];
}

type Kind = 'corrupt' | 'unsupported' | 'over-budget';

/**
 * The checked header in `content`, which lies at `fileOffset` of a file of `fileLength` bytes, for a disk of `capacity`.
 *
 * `content`: 1024 bytes.
 * Throws: corrupt (cookie, checksum, block size, a table that is too small or outside the file), unsupported (version),
 * over-budget (a table larger than any disk needs).
 */
export function parseDynamicHeader(content: Uint8Array, fileOffset: number, fileLength: number, capacity: number): VhdDynamicHeader {
  const wrong = (kind: Kind, code: string, field: string, at: number, found: ErrorValue, expected: string): Error =>
    new PlimsollError(kind, code, { doing: DOING, field, at: fileOffset + at, found, expected });
  const cookie = latin1(content.subarray(0, 8));
  if (cookie !== HEADER_COOKIE) throw wrong('corrupt', 'VHD_HEADER_COOKIE', 'cookie', 0, cookie, HEADER_COOKIE);
  const raw = DYNAMIC_HEADER.read(new DataView(content.buffer, content.byteOffset, content.byteLength), 0, fileOffset);
  const checksum = checksumOf(content.subarray(0, DYNAMIC_HEADER.byteLength), DYNAMIC_HEADER.fields.checksum.at);
  if (raw.checksum !== checksum) throw wrong('corrupt', 'VHD_HEADER_CHECKSUM', 'checksum', 36, hex(raw.checksum), hex(checksum));
  if (Math.floor(raw.headerVersion / 0x10000) !== VERSION_MAJOR) {
    throw wrong('unsupported', 'VHD_HEADER_VERSION', 'header version', 24, hex(raw.headerVersion), '0x00010000');
  }
  const { blockSize, maxTableEntries, tableOffset } = raw;
  if (blockSize < SECTOR || !isPowerOfTwo(blockSize)) {
    throw wrong('corrupt', 'VHD_BLOCK_SIZE', 'block size', 32, blockSize, 'a power of two from 512 on');
  }
  if (maxTableEntries * blockSize < capacity) {
    throw wrong('corrupt', 'VHD_TABLE_ENTRIES', 'max table entries', 28, maxTableEntries, `at least ${Math.ceil(capacity / blockSize)}`);
  }
  if (maxTableEntries * 4 > LIMITS.tableBytes) {
    throw wrong('over-budget', 'VHD_TABLE_LIMIT', 'max table entries', 28, maxTableEntries, `at most ${LIMITS.tableBytes / 4}`);
  }
  if (tableOffset < SECTOR || tableOffset + maxTableEntries * 4 > fileLength) {
    throw wrong('corrupt', 'VHD_TABLE_OFFSET', 'table offset', 16, tableOffset, `a table inside the file of ${fileLength} bytes`);
  }
  return {
    fileOffset,
    tableOffset,
    maxTableEntries,
    blockSize,
    sectorBitmapBytes: Math.ceil(blockSize / SECTOR / 8 / SECTOR) * SECTOR,
  };
}

/**
 * What the header in `content` says of the parent, and where its further names lie, all inside the file.
 *
 * Throws: corrupt (a locator outside the file), over-budget (a name longer than any path).
 */
export function parseParent(
  content: Uint8Array,
  fileOffset: number,
  fileLength: number,
): { parent: Omit<VhdParent, 'locators'>; places: VhdParentPlace[] } {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const raw = DYNAMIC_HEADER.read(view, 0, fileOffset);
  const places: VhdParentPlace[] = [];
  for (let index = 0; index < PARENT_LOCATORS; index += 1) {
    const base = DYNAMIC_HEADER.fields.parentLocators.at + index * PARENT_LOCATOR.byteLength;
    if (view.getUint32(base) === 0) continue;
    const place = PARENT_LOCATOR.read(view, base, fileOffset);
    const { platformDataLength: byteLength, platformDataOffset } = place;
    if (byteLength > LIMITS.parentNameBytes) {
      throw badLocator(
        'over-budget',
        'VHD_LOCATOR_LENGTH',
        'platform data length',
        fileOffset + base + 8,
        byteLength,
        LIMITS.parentNameBytes,
      );
    }
    if (platformDataOffset + byteLength > fileLength) {
      throw badLocator('corrupt', 'VHD_LOCATOR_OFFSET', 'platform data offset', fileOffset + base + 16, platformDataOffset, fileLength);
    }
    places.push({ platformCode: latin1(place.platformCode), fileOffset: platformDataOffset, byteLength });
  }
  const parent = {
    uniqueId: uuidText(raw.parentUniqueId),
    timeStamp: raw.parentTimeStamp,
    unicodeName: { bytes: raw.parentUnicodeName.slice(), text: utf16(raw.parentUnicodeName, true) },
  };
  return { parent, places };
}

/** The name that a locator of this platform holds, as text. */
export function decodeLocator(platformCode: string, content: Uint8Array): string | undefined {
  switch (platformCode) {
    case 'W2ru':
    case 'W2ku':
      return utf16(content, false);
    case 'Wi2r':
    case 'Wi2k':
      return untilNul(latin1Long(content));
    case 'MacX':
      return untilNul(new TextDecoder().decode(content));
    default:
      return undefined;
  }
}

function badLocator(kind: Kind, code: string, field: string, at: number, found: number, most: number): PlimsollError {
  return new PlimsollError(kind, code, { doing: DOING, field, at, found, expected: `at most ${most}` });
}

/** UTF-16 up to its NUL; an odd byte at the end is left out. */
function utf16(content: Uint8Array, isBigEndian: boolean): string {
  const even = content.slice(0, content.byteLength - (content.byteLength % 2));
  if (isBigEndian) {
    for (let at = 0; at < even.byteLength; at += 2) [even[at], even[at + 1]] = [even[at + 1] as number, even[at] as number];
  }
  return untilNul(new TextDecoder('utf-16le').decode(even));
}

function latin1Long(content: Uint8Array): string {
  return Array.from(content, (byte) => String.fromCharCode(byte)).join('');
}

function untilNul(text: string): string {
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}
