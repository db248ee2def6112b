/** What a request of the confined worker is answered by. */
import { PlimsollError } from '#base';
import type { ReadableDevice } from '#block';

/** Asks the policy outside for a file whose name was found in the image. Throws: what the policy says, kind `refused` mostly. */
export type RequestFile = (name: Uint8Array, role: string) => Promise<ReadableDevice>;

/** Says a part of the answer ahead of the rest: what JSON can carry. */
export type TellPart = (part: unknown) => void;

/** The answer is what JSON can carry. Whoever shows it treats it as a stranger's. */
export type Handler = (
  params: unknown,
  devices: readonly ReadableDevice[],
  signal: AbortSignal,
  requestFile: RequestFile,
  tellPart: TellPart,
) => Promise<unknown>;

export type Handlers = ReadonlyMap<string, Handler>;

/** Throws: bug, WORKER_REQUEST. */
export function handlerOf(handlers: Handlers, name: string): Handler {
  const handler = handlers.get(name);
  if (handler !== undefined) return handler;
  throw new PlimsollError('bug', 'WORKER_REQUEST', { doing: 'read image', found: name, expected: 'a registered request' });
}
