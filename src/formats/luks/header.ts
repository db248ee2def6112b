/** The header of a LUKS volume in a file, checked as far as the figures need it: where the encrypted disk lies. */
import { type ErrorValue, PlimsollError, roundUp } from '#base';
import { type ReadableDevice, readExactly, readUpTo } from '#block';
import { HEADER_BYTES, HEADER_V1, HEADER_V2, LIMITS, MAGIC, SECTOR } from './layout.ts';
import { segmentsOf } from './segments.ts';

/** Units: bytes. */
export interface LuksHeader {
  readonly version: 1 | 2;
  /** Bytes of the disk inside the encryption. */
  readonly capacity: number;
  /** Where the encrypted disk begins in the file. */
  readonly payloadOffset: number;
  /** As the kernel writes it: `aes-xts-plain64`. */
  readonly cipher: string;
  readonly uuid: string;
}

const DOING = 'read LUKS header';

/**
 * The header at the start of `device`.
 *
 * Bounds: reads 4 KiB, of LUKS2 at most 4 MiB. Keyslots and checksums are not read: no figure follows from them.
 * Throws: corrupt (another signature, a payload outside of the file), unsupported (version); io, over-budget.
 */
export async function readLuksHeader(device: ReadableDevice): Promise<LuksHeader> {
  const content = await readUpTo(device, 0, HEADER_BYTES);
  const start = content.subarray(0, MAGIC.length);
  if (String.fromCharCode(...start) !== MAGIC)
    throw wrong('corrupt', 'LUKS_MAGIC', 'magic', 0, `0x${hex(start)}`, `0x${Buffer.from(MAGIC, 'latin1').toString('hex')}`);
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const version = content.byteLength < 8 ? 1 : view.getUint16(6);
  if (version === 1) return headerV1(view, device.byteLength);
  if (version === 2) return headerV2(view, device);
  throw wrong('unsupported', 'LUKS_VERSION', 'version', 6, version, '1 or 2');
}

/** QEMU 7.2 refuses a payload inside of the header's 4 KiB, and one behind the end of the file. */
function headerV1(view: DataView, fileLength: number): LuksHeader {
  const raw = HEADER_V1.read(view);
  const payloadOffset = raw.payloadOffset * SECTOR;
  const disk = roundUp(fileLength, SECTOR);
  if (payloadOffset < HEADER_BYTES || payloadOffset > disk) {
    const expected = `${HEADER_BYTES} to ${disk}, the length of the file`;
    throw wrong('corrupt', 'LUKS_PAYLOAD_OFFSET', 'payload offset', 104, payloadOffset, expected);
  }
  const cipher = `${text(raw.cipherName)}-${text(raw.cipherMode)}`;
  return { version: 1, capacity: disk - payloadOffset, payloadOffset, cipher, uuid: text(raw.uuid) };
}

async function headerV2(view: DataView, device: ReadableDevice): Promise<LuksHeader> {
  const { headerSize, uuid } = HEADER_V2.read(view);
  if (headerSize < LIMITS.leastHeaderV2 || headerSize > LIMITS.mostHeaderV2 || headerSize > device.byteLength) {
    const expected = `${LIMITS.leastHeaderV2} to ${LIMITS.mostHeaderV2}, inside of the file of ${device.byteLength} bytes`;
    throw wrong('corrupt', 'LUKS_HEADER_SIZE', 'header size', 8, headerSize, expected);
  }
  const area = await readExactly(device, HEADER_BYTES, headerSize - HEADER_BYTES, 'IMAGE_TRUNCATED', DOING);
  const found = segmentsOf(area, roundUp(device.byteLength, SECTOR));
  if (typeof found === 'string')
    throw wrong('corrupt', 'LUKS_SEGMENTS', 'JSON area', HEADER_BYTES, found, 'segments of the disk, inside of the file');
  return { version: 2, ...found, uuid: text(uuid) };
}

function text(content: Uint8Array): string {
  const end = content.indexOf(0);
  return String.fromCharCode(...(end < 0 ? content : content.subarray(0, end)));
}

function hex(content: Uint8Array): string {
  return Array.from(content, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function wrong(
  kind: 'corrupt' | 'unsupported',
  code: string,
  field: string,
  at: number,
  found: ErrorValue,
  expected: string,
): PlimsollError {
  return new PlimsollError(kind, code, { doing: DOING, field, at, found, expected });
}
