/** Vetting as the library offers it: a file by its name, or bytes while they arrive. */
import { requireOptions, requirePath, requireSignal } from '#base';
import type { VetReport } from '#wire';
import { parsePolicy } from './policy.ts';
import { vetFile, type VetOptions } from './vet-file.ts';
import { vetStream } from './vet-stream.ts';

/**
 * Judges an image in a confined process: the file at a path, or a stream, which is read to its end.
 *
 * Throws: as vetFile and vetStream; usage, LIBRARY_ARGUMENT, VET_POLICY. What is wrong with the image is in the report.
 */
export async function vet(source: string | Buffer | AsyncIterable<Uint8Array>, options: VetOptions = {}): Promise<VetReport> {
  requireOptions('vet', options);
  requireSignal('vet', options.signal);
  const checked = options.policy === undefined ? options : { ...options, policy: parsePolicy(options.policy) };
  if (typeof source === 'object' && source !== null && Symbol.asyncIterator in source) return vetStream(source, checked);
  requirePath('vet', source);
  return vetFile(source, checked);
}
