/** Whether the data of compressed clusters stands for one cluster each. */
import { PlimsollError } from '#base';
import type { ReadableDevice } from '#block';
import { CompressedData, type CompressedRun } from '../read/compressed-data.ts';
import type { Header } from '../header.ts';
import type { CompressedExtent, TableCheck, Unsound } from './check-result.ts';

/** Decoded in one check; a bomb stands for a thousand times its own length. Units: bytes. */
const MAX_DECODED_BYTES = 512 * 2 ** 20;

export interface DecodeCheck {
  /** The first entry whose data cannot be decoded. */
  readonly damaged: Unsound | undefined;
  /** Compressed clusters that were not decoded, since there are too many or their data is not kept of a stream. */
  readonly notDecodedCount: number;
}

/**
 * Decodes what `check` found, one cluster after the other.
 *
 * Bounds: 512 MiB are decoded; one cluster and its data are held. Throws: io; unsupported (the decoder does not start); AbortError.
 */
export async function decodeCompressed(
  device: ReadableDevice,
  header: Header,
  { compressed, compressedCount }: Pick<TableCheck, 'compressed' | 'compressedCount'>,
  signal?: AbortSignal,
): Promise<DecodeCheck> {
  const data = new CompressedData(device, header);
  const most = Math.floor(MAX_DECODED_BYTES / header.clusterSize);
  let decodedCount = 0;
  for (const extent of compressed.slice(0, most)) {
    signal?.throwIfAborted();
    const fault = await decodeOne(data, extent);
    if (fault === 'not read') break;
    if (fault !== undefined) return { damaged: fault, notDecodedCount: 0 };
    decodedCount += 1;
  }
  return { damaged: undefined, notDecodedCount: compressedCount - decodedCount };
}

async function decodeOne(
  data: CompressedData,
  { fileOffset, byteLength, entryAt }: CompressedExtent,
): Promise<Unsound | 'not read' | undefined> {
  const run: CompressedRun = { kind: 'compressed', end: 0, hostOffset: fileOffset, byteLength };
  try {
    await data.read([run], () => undefined);
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof PlimsollError)) throw thrown;
    if (thrown.kind === 'corrupt') return { at: entryAt, what: thrown.message };
    if (thrown.kind === 'over-budget') return 'not read';
    throw thrown;
  }
}
