/** What is thrown behind the wall, as the error that is told outside. */
import { asPlimsollError, PlimsollError } from '#base';

export function errorInside(thrown: unknown): PlimsollError {
  return outOfMemory(thrown) ?? asPlimsollError(thrown, 'answer from inside the wall');
}

/** A buffer that the limit did not let happen. (A heap that is full ends the process instead; the client knows that too.) */
function outOfMemory(error: unknown): PlimsollError | undefined {
  if (!(error instanceof Error)) return undefined;
  const isFromNode = (error as { code?: unknown }).code === 'ERR_MEMORY_ALLOCATION_FAILED';
  const isFromV8 = error instanceof RangeError && /allocation failed|out of memory/i.test(error.message);
  if (!isFromNode && !isFromV8) return undefined;
  return new PlimsollError('over-budget', 'WORKER_MEMORY', {
    doing: 'read image',
    found: error.message,
    expected: 'less memory',
    cause: error,
  });
}
