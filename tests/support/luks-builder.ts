/** LUKS headers byte by byte, for files that no tool would write; agreement with the format is proved by files of QEMU. */
import { HEADER_V1, HEADER_V2 } from '../../src/formats/luks/layout.ts';

const MAGIC = Buffer.from('LUKS\xba\xbe', 'latin1');

/** A file of `length` bytes with a LUKS1 header whose payload begins at sector `payloadSector`. */
export function luks1({ length = 1024 * 1024, payloadSector = 512, version = 1 } = {}): Uint8Array {
  const bytes = Buffer.alloc(length);
  const { fields } = HEADER_V1;
  bytes.set(MAGIC);
  bytes.writeUInt16BE(version, fields.version.at);
  bytes.write('aes\0', fields.cipherName.at);
  bytes.write('xts-plain64\0', fields.cipherMode.at);
  bytes.writeUInt32BE(payloadSector, fields.payloadOffset.at);
  bytes.write('00000000-0000-0000-0000-000000000001\0', fields.uuid.at);
  return bytes;
}

/** A file with a LUKS2 header; `json`: what its JSON area holds. */
export function luks2(json: unknown, { length = 1024 * 1024, headerSize = 16_384 } = {}): Uint8Array {
  const bytes = Buffer.alloc(length);
  bytes.set(MAGIC);
  bytes.writeUInt16BE(2, HEADER_V2.fields.version.at);
  bytes.writeBigUInt64BE(BigInt(headerSize), HEADER_V2.fields.headerSize.at);
  bytes.write(typeof json === 'string' ? json : JSON.stringify(json), 4096);
  return bytes;
}

/** A segment of the disk as cryptsetup writes it. */
export function segment(offset: number, more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    type: 'crypt',
    offset: String(offset),
    size: 'dynamic',
    iv_tweak: '0',
    encryption: 'aes-xts-plain64',
    sector_size: 512,
    ...more,
  };
}
