/** Which format a file is read as: the declared one, else the one that its signature proves, else raw as a guess. */
import { PlimsollError } from '#base';
import { type ReadableDevice, readUpTo } from '#block';
import { type Evidence, isWrapping, probe, PROBE_BYTES, probeFooter } from '#formats';
import { type FormatSource, IMAGE_FORMATS, type ImageFormat } from '#wire';

/** Signatures at the start; where there are none, in the last sector. */
export async function gatherEvidence(device: ReadableDevice, prefix: Uint8Array): Promise<Evidence[]> {
  const found = probe(prefix);
  if (found.length > 0 || device.byteLength < 2 * PROBE_BYTES) return found;
  const at = device.byteLength - PROBE_BYTES;
  return probeFooter(await readUpTo(device, at, PROBE_BYTES)).map((one) => ({ ...one, at: at + one.at }));
}

/** `option` declares the format on the command line. Throws: unsupported, refused. */
export function chooseFormat(
  evidence: readonly Evidence[],
  declared: ImageFormat | undefined,
  discovered: boolean,
  option = '-f',
): { format: ImageFormat; source: FormatSource } {
  if (declared !== undefined) return { format: declared, source: 'declared' };
  if (discovered && evidence.every((one) => isWrapping(one.format))) return { format: 'raw', source: 'guess' };
  if (evidence.length > 1) {
    throw new PlimsollError('refused', 'FORMAT_AMBIGUOUS', {
      doing: 'detect the image format',
      found: evidence.map((one) => one.format).join(' and '),
      expected: discovered
        ? 'one signature; scan --raw FILE if a guest wrote these bytes to its raw disk'
        : `one signature; declare the format with ${option}`,
    });
  }
  const [one] = evidence;
  if (one === undefined) return { format: 'raw', source: 'guess' };
  const known = IMAGE_FORMATS.find((format) => format === one.format);
  if (known !== undefined) return { format: known, source: 'signature' };
  throw new PlimsollError('unsupported', 'FORMAT_NOT_READ', {
    doing: 'read image',
    at: one.at,
    found: `a ${one.format} signature`,
    expected: `a supported format; ${discovered ? 'scan --raw FILE' : `${option} raw`} if a guest wrote these bytes to its raw disk`,
  });
}
