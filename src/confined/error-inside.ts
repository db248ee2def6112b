/** An error thrown inside the worker, as the error that is sent to the client. */
import { asPlimsollError, PlimsollError } from '#base';

export function errorInside(thrown: unknown): PlimsollError {
  return outOfMemory(thrown) ?? asPlimsollError(thrown, 'answer a confined request');
}

/** A buffer beyond the memory limit. (A full heap ends the process instead; the client recognises that, too.) */
function outOfMemory(error: unknown): PlimsollError | undefined {
  if (!(error instanceof Error)) return undefined;
  const isFromNode = (error as { code?: unknown }).code === 'ERR_MEMORY_ALLOCATION_FAILED';
  const isFromV8 = error instanceof RangeError && /allocation failed|out of memory/i.test(error.message);
  if (!isFromNode && !isFromV8) return undefined;
  return new PlimsollError('over-budget', 'WORKER_MEMORY', {
    doing: 'read image',
    found: error.message,
    expected: 'an image that can be read within the memory limit',
    cause: error,
  });
}
