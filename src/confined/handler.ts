/** The functions by which a confined worker answers requests. */
import { PlimsollError } from '#base';
import type { ReadableDevice } from '#block';

/** A file that the client granted, and what it states about the file. */
export interface ReceivedFile {
  readonly device: ReadableDevice;
  /** JSON. */
  readonly info: unknown;
  readonly data: Uint8Array;
}

/** Requests a file whose name was found in the image. Throws: the refusal of the policy outside, mostly of kind `refused`. */
export type RequestFile = (name: Uint8Array, role: string) => Promise<ReceivedFile>;

/** Sends a part of the answer ahead of the rest: JSON, and at most MAX_DATA_BYTES. Waits while the client takes no more. */
export type SendPart = (part: unknown, data?: Uint8Array) => void;

export interface HandlerContext {
  /** The files of the request, in their order. Open until the answer; until the end of the session if the client keeps them. */
  readonly devices: readonly ReadableDevice[];
  /** Bytes of the request beside its parameters. */
  readonly data: Uint8Array;
  readonly signal: AbortSignal;
  readonly requestFile: RequestFile;
  readonly sendPart: SendPart;
}

/** The answer is JSON. It is untrusted: check its shape, and escape its text before showing it. */
export type Handler = (params: unknown, context: HandlerContext) => Promise<unknown>;

export type Handlers = ReadonlyMap<string, Handler>;

/** Throws: bug, WORKER_REQUEST. */
export function handlerOf(handlers: Handlers, name: string): Handler {
  const handler = handlers.get(name);
  if (handler !== undefined) return handler;
  throw new PlimsollError('bug', 'WORKER_REQUEST', { doing: 'read image', found: name, expected: 'a registered request' });
}
