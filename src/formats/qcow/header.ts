/** The header of a qcow image of version 1, checked as QEMU 7.2 does when it opens one (`qcow_open`, block/qcow.c). */
import { divideUp, type ErrorValue, PlimsollError, roundDown } from '#base';
import { type ReadableDevice, readExactly, readUpTo } from '#block';
import { CRYPT_AES, CRYPT_NONE, ENTRY_BYTES, HEADER, LIMITS, MAGIC, VERSION } from './layout.ts';

/** Units: bytes, unless the name states another. */
export interface QcowHeader {
  readonly clusterBits: number;
  readonly clusterSize: number;
  /** Entries of one L2 table. */
  readonly l2Entries: number;
  readonly capacity: number;
  readonly l1Offset: number;
  /** Entries of the L1 table. */
  readonly l1Entries: number;
  readonly encryption: 'none' | 'aes';
  readonly backingFile: string | undefined;
  readonly backingFileBytes: Uint8Array | undefined;
  readonly backingFileOffset: number;
}

const DOING = 'read qcow header';

type RawHeader = ReturnType<typeof HEADER.read>;

/**
 * The header of the image in `device`.
 *
 * Throws: corrupt (a field out of its range, a table or a name outside of the file), unsupported (a version, an encryption
 * method), over-budget (an L1 table of more than 64 MiB); io.
 */
export async function readQcowHeader(device: ReadableDevice): Promise<QcowHeader> {
  const content = await readUpTo(device, 0, HEADER.byteLength);
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const magic = content.byteLength < 4 ? 0 : view.getUint32(0);
  if (magic !== MAGIC) throw wrong('corrupt', 'QCOW_MAGIC', 'magic', `0x${magic.toString(16)}`, `0x${MAGIC.toString(16)}`);
  const raw = HEADER.read(view);
  checkFields(raw);
  const { clusterBits, l2Bits, size, l1TableOffset } = raw;
  // QEMU takes the whole sectors of the size for the disk, and all of it for the L1 table.
  const l1Entries = divideUp(size, 2 ** (clusterBits + l2Bits));
  const l1Bytes = l1Entries * ENTRY_BYTES;
  if (l1Bytes > LIMITS.l1Bytes)
    throw wrong('over-budget', 'QCOW_L1_LIMIT', 'size', size, `at most ${LIMITS.l1Bytes / ENTRY_BYTES} L2 tables`);
  if (l1TableOffset < HEADER.byteLength || l1TableOffset + l1Bytes > device.byteLength) {
    const expected = `${l1Bytes} bytes behind the header, inside the file of ${device.byteLength} bytes`;
    throw wrong('corrupt', 'QCOW_L1_OFFSET', 'l1TableOffset', l1TableOffset, expected);
  }
  return {
    clusterBits,
    clusterSize: 2 ** clusterBits,
    l2Entries: 2 ** l2Bits,
    capacity: roundDown(size, 512),
    l1Offset: l1TableOffset,
    l1Entries,
    encryption: raw.cryptMethod === CRYPT_AES ? 'aes' : 'none',
    ...(await readBackingName(device, raw, l1Bytes)),
  };
}

function checkFields({ version, size, clusterBits, l2Bits, cryptMethod }: RawHeader): void {
  if (version !== VERSION) throw wrong('unsupported', 'QCOW_VERSION', 'version', version, '1; versions 2 and 3 are qcow2');
  if (size < 2) throw wrong('corrupt', 'QCOW_SIZE', 'size', size, 'at least 2 bytes');
  const { clusterBits: cluster, l2Bits: table } = LIMITS;
  if (clusterBits < cluster.least || clusterBits > cluster.most)
    throw wrong('corrupt', 'QCOW_CLUSTER_BITS', 'clusterBits', clusterBits, `${cluster.least} to ${cluster.most}`);
  if (l2Bits < table.least || l2Bits > table.most)
    throw wrong('corrupt', 'QCOW_L2_BITS', 'l2Bits', l2Bits, `${table.least} to ${table.most}`);
  if (cryptMethod !== CRYPT_NONE && cryptMethod !== CRYPT_AES)
    throw wrong('unsupported', 'QCOW_ENCRYPTION', 'cryptMethod', cryptMethod, '0 (none) or 1 (AES)');
}

type Backing = Pick<QcowHeader, 'backingFile' | 'backingFileBytes' | 'backingFileOffset'>;

/** The name lies apart from the header's fields and the L1 table: a guest's write, which fills tables, must not change it. */
async function readBackingName(device: ReadableDevice, raw: RawHeader, l1Bytes: number): Promise<Backing> {
  const { backingFileOffset: at, backingFileSize: size, l1TableOffset } = raw;
  if (at === 0) return { backingFile: undefined, backingFileBytes: undefined, backingFileOffset: 0 };
  if (size > LIMITS.backingFileBytes)
    throw wrong('corrupt', 'QCOW_BACKING_NAME', 'backingFileSize', size, `at most ${LIMITS.backingFileBytes} bytes`);
  const isApart = at >= HEADER.byteLength && (at + size <= l1TableOffset || at >= l1TableOffset + l1Bytes);
  if (!isApart || at + size > device.byteLength) {
    const expected = `${size} bytes inside the file, outside of the header's fields and the L1 table`;
    throw wrong('corrupt', 'QCOW_BACKING_NAME', 'backingFileOffset', at, expected);
  }
  const content = Uint8Array.from(await readExactly(device, at, size, 'IMAGE_TRUNCATED', DOING));
  const end = content.indexOf(0);
  const backingFileBytes = end < 0 ? content : content.subarray(0, end);
  // QEMU takes an empty name for an image without a backing file.
  if (backingFileBytes.byteLength === 0) return { backingFile: undefined, backingFileBytes: undefined, backingFileOffset: 0 };
  const backingFile = new TextDecoder('utf-8', { ignoreBOM: true }).decode(backingFileBytes);
  return { backingFile, backingFileBytes, backingFileOffset: at };
}

function wrong(
  kind: 'corrupt' | 'unsupported' | 'over-budget',
  code: string,
  field: keyof typeof HEADER.fields,
  found: ErrorValue,
  expected: string,
): PlimsollError {
  return new PlimsollError(kind, code, { doing: DOING, field, at: HEADER.fields[field].at, found, expected });
}
