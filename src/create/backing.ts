/** The backing file of a new overlay: resolved, opened, its header checked; its tables are not read. */
import { readUpTo } from '#block';
import { PlimsollError, roundUp } from '#base';
import { hasQcow2Magic, probe, PROBE_BYTES, readQcow2Header } from '#formats';
import { openImageFile } from '#host';
import { type ReferencedFile, ReferenceResolver } from '#references';
import type { Finding } from '#wire';
import { type BackingChoice, fileName } from './create-options.ts';

const SECTOR = 512;

export interface Backing {
  /** Bytes the guest sees of it. */
  readonly capacity: number;
  readonly findings: readonly Finding[];
}

/**
 * What the overlay will rest on, its name taken relative to the new image's directory as QEMU does.
 *
 * Throws: not-found, io, refused (no regular file); usage, for a name that QEMU would take for a protocol; corrupt,
 * unsupported, when it is not of the format declared for it or its header is unsound.
 */
export async function readBacking(imagePath: string, backing: BackingChoice): Promise<Backing> {
  const name = fileName('backing_file', backing.name);
  // The caller chose the file, so it may lie anywhere.
  const resolver = new ReferenceResolver({ identity: '', shownPath: imagePath }, (path) => openImageFile(path));
  const reference = { role: 'backing', depth: 1, name, nameBytes: Buffer.from(name), format: backing.format } as const;
  const { file } = await resolver.openFile(Buffer.from(imagePath), reference);
  try {
    const prefix = await readUpTo(file.device, 0, PROBE_BYTES);
    return backing.format === 'raw' ? rawBacking(file, prefix) : await qcow2Backing(file, prefix);
  } finally {
    await file.close();
  }
}

function rawBacking(file: ReferencedFile, prefix: Uint8Array): Backing {
  const [evidence] = probe(prefix);
  const findings: Finding[] = [];
  if (evidence !== undefined) {
    findings.push({
      level: 'warning',
      code: 'RAW_WITH_SIGNATURE',
      message: `The backing file is declared raw, but its first bytes are those of ${evidence.format}: the guest sees those bytes, not the disk inside.`,
    });
  }
  return { capacity: roundUp(file.device.byteLength, SECTOR), findings };
}

async function qcow2Backing(file: ReferencedFile, prefix: Uint8Array): Promise<Backing> {
  if (!hasQcow2Magic(prefix)) {
    throw new PlimsollError('corrupt', 'BACKING_FORMAT', {
      doing: 'use backing file',
      image: file.realPath,
      field: 'magic',
      at: 0,
      found: `0x${Buffer.from(prefix.subarray(0, 4)).toString('hex')}`,
      expected: 'a qcow2 image, as -F says',
    });
  }
  return { capacity: (await readQcow2Header(file.device)).capacity, findings: [] };
}
