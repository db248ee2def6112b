/**
 * How long the LUKS header is that QEMU puts into an encrypted image: eight keyslots, each of 4000 stripes of the key.
 * Source: LUKS on-disk format 1.2.2, "phdr" and "anti-forensic splitter"; checked against `qemu-img measure`.
 */
import { divideUp, PlimsollError, roundUp } from '#base';
import { badOption, type OptionReader } from './option-list.ts';

const SECTOR = 512;
const STRIPES = 4000;
const KEYSLOTS = 8;
/** The header, and each keyslot, start at a multiple of 4 KiB. */
const ALIGNMENT_SECTORS = 8;

/** Key bytes of the ciphers that QEMU knows, before the mode. */
const CIPHER_KEY_BYTES: Readonly<Record<string, number>> = {
  'aes-128': 16,
  'aes-192': 24,
  'aes-256': 32,
  'cast5-128': 16,
  'serpent-128': 16,
  'serpent-192': 24,
  'serpent-256': 32,
  'twofish-128': 16,
  'twofish-192': 24,
  'twofish-256': 32,
};

/** Bytes in front of the payload, for a cipher and a mode; XTS needs the key twice. */
export function luksHeaderBytes(cipher: string, mode: string): number {
  const keyBytes = (CIPHER_KEY_BYTES[cipher] ?? 0) * (mode === 'xts' ? 2 : 1);
  const keyslotSectors = roundUp(divideUp(keyBytes * STRIPES, SECTOR), ALIGNMENT_SECTORS);
  return (ALIGNMENT_SECTORS + KEYSLOTS * keyslotSectors) * SECTOR;
}

export type Encryption = 'none' | 'luks' | 'aes';

export interface EncryptionChoice {
  readonly encryption: Encryption;
  readonly luksHeaderBytes: number;
}

export const ENCRYPTION_OPTIONS = [
  'encrypt.format',
  'encrypt.key-secret',
  'encrypt.cipher-alg',
  'encrypt.cipher-mode',
  'encrypt.hash-alg',
  'encrypt.ivgen-alg',
  'encrypt.ivgen-hash-alg',
  'encrypt.iter-time',
  'encryption',
];

/** They affect neither length nor storage. */
const UNREAD_DETAILS = ['encrypt.key-secret', 'encrypt.hash-alg', 'encrypt.ivgen-alg', 'encrypt.ivgen-hash-alg', 'encrypt.iter-time'];

/** The request in the `encrypt.*` options; the secret itself is never read. */
export function readEncryption(reader: OptionReader): EncryptionChoice {
  const format = reader.choice('encrypt.format', ['luks', 'aes'] as const);
  const isLegacy = reader.flag('encryption');
  const cipher = reader.choice('encrypt.cipher-alg', Object.keys(CIPHER_KEY_BYTES));
  const mode = reader.choice('encrypt.cipher-mode', ['xts', 'cbc', 'ecb', 'ctr'] as const);
  let detail = cipher === undefined ? undefined : 'encrypt.cipher-alg';
  if (mode !== undefined) detail ??= 'encrypt.cipher-mode';
  for (const name of UNREAD_DETAILS) if (reader.text(name) !== undefined) detail ??= name;
  if (format === undefined && !isLegacy && detail !== undefined) throw badOption(detail, 'given', 'encrypt.format beside it');
  if (format === 'luks') return { encryption: 'luks', luksHeaderBytes: luksHeaderBytes(cipher ?? 'aes-256', mode ?? 'xts') };
  return { encryption: format === 'aes' || isLegacy ? 'aes' : 'none', luksHeaderBytes: 0 };
}

/** Throws: unsupported, by name, for an encrypted image: that needs a key, and plimsoll handles none. */
export function refuseEncryption(encryption: Encryption): void {
  if (encryption === 'none') return;
  throw new PlimsollError('unsupported', 'CREATE_ENCRYPTED', {
    doing: 'create an encrypted image',
    field: 'encrypt.format',
    found: encryption,
    expected: 'no encryption; create such an image with qemu-img, and compute its size with measure',
  });
}
