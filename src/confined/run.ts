/** One request, answered by a worker of its own, or by the same handler in this process. */
import type { ReadableDevice } from '#block';
import { handlerOf, type Handlers, type RequestFile, type SendPart } from './handler.ts';
import {
  type ConfinedRequest,
  deviceOf,
  type GrantedFile,
  refuseAll,
  type RequestOptions,
  type SessionOptions,
  WorkerSession,
} from './session.ts';

const NO_DATA = new Uint8Array(0);

export type ConfinedOptions = RequestOptions & SessionOptions;

/**
 * The answer of a worker that has read no other image and ends with it.
 *
 * Throws: the handler's error; over-budget, WORKER_TIME, WORKER_CPU, WORKER_MEMORY, WORKER_OUTPUT, WORKER_FILES;
 * io, WORKER_KILLED; bug, WORKER_CRASHED, WORKER_ENDED, WORKER_PROTOCOL; unsupported, SANDBOX_UNAVAILABLE,
 * SANDBOX_INCOMPLETE; the reason of the signal.
 */
export async function runConfined(request: ConfinedRequest, options: ConfinedOptions = {}): Promise<unknown> {
  options.signal?.throwIfAborted();
  await using session = await WorkerSession.start(options);
  const outcome = await session.exchange(request, options);
  if (outcome.type === 'value') return outcome.value;
  throw outcome.error;
}

/** The same without sandboxing: only for --unconfined and tests, never a fallback. */
export async function runUnconfined(
  handlers: Handlers,
  request: ConfinedRequest,
  devices: readonly ReadableDevice[],
  options: Pick<RequestOptions, 'signal' | 'onFileRequest' | 'onPart' | 'image'> = {},
): Promise<unknown> {
  const handler = handlerOf(handlers, request.name);
  const granted: GrantedFile[] = [];
  const requestFile: RequestFile = async (name, role) => {
    const one = await (options.onFileRequest ?? refuseAll)({ name, role });
    granted.push(one);
    return { device: deviceOf(one.file, 'image'), info: one.info ?? null, data: one.data ?? NO_DATA };
  };
  try {
    const signal = options.signal ?? new AbortController().signal;
    const sendPart: SendPart = (part, data = NO_DATA) => void options.onPart?.(part, data);
    return await handler(request.params, { devices, data: request.data ?? NO_DATA, signal, requestFile, sendPart });
  } finally {
    for (const file of granted) await file.close();
  }
}
