/**
 * What worker and client say to each other: frames of a JSON part and bytes, each with its length in front.
 *
 *   u32 length of the JSON part | u32 length of the bytes | JSON, UTF-8 | bytes        little-endian
 *
 * JSON, not V8's own serialization: the client decodes what may come from a process that has been taken over, and no
 * structure of V8 is made of its bytes.
 */
import { KiB, MiB, PlimsollError, type SerializedError } from '#base';

/** A report of the largest chain and a census of findings have some hundred KiB. */
export const MAX_JSON_BYTES = 32 * MiB;
/** Of one read through the wall, and of a name found in an image. */
export const MAX_DATA_BYTES = MiB;
export const HEADER_BYTES = 8;
/** Of each text of an error. */
const MAX_TEXT_CHARACTERS = 4 * KiB;

/** What the worker says. */
export type WorkerFrame =
  /** Sealed; the request may come. */
  | { readonly type: 'ready' }
  /** A part of the answer, as soon as it is there; the result follows the last of them. */
  | { readonly type: 'part'; readonly value: unknown }
  | { readonly type: 'result'; readonly value: unknown }
  | { readonly type: 'error'; readonly error: SerializedError }
  /** A name found in the image, as bytes: may this file be read? */
  | { readonly type: 'file-request'; readonly role: string }
  | { readonly type: 'read'; readonly file: number; readonly offset: number; readonly length: number };

/** What the client says. */
export type ClientFrame =
  | {
      readonly type: 'request';
      readonly name: string;
      readonly params: unknown;
      readonly files: readonly { readonly byteLength: number }[];
    }
  | { readonly type: 'file'; readonly file: number; readonly byteLength: number }
  | { readonly type: 'bytes' }
  | { readonly type: 'error'; readonly error: SerializedError };

export interface Frame<T> {
  readonly message: T;
  readonly data: Uint8Array;
}

const NOTHING = new Uint8Array(0);
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder('utf-8', { fatal: true });

/** Throws: over-budget, WORKER_OUTPUT, for what no frame may hold. */
export function encodeFrame(message: WorkerFrame | ClientFrame, data: Uint8Array = NOTHING): Uint8Array {
  const json = ENCODER.encode(JSON.stringify(message));
  if (json.byteLength > MAX_JSON_BYTES || data.byteLength > MAX_DATA_BYTES) throw tooLong(json.byteLength + data.byteLength);
  const frame = new Uint8Array(HEADER_BYTES + json.byteLength + data.byteLength);
  const view = new DataView(frame.buffer);
  view.setUint32(0, json.byteLength, true);
  view.setUint32(4, data.byteLength, true);
  frame.set(json, HEADER_BYTES);
  frame.set(data, HEADER_BYTES + json.byteLength);
  return frame;
}

/** The lengths that a frame's header announces. Throws: bug, WORKER_PROTOCOL. */
export function frameLengths(header: Uint8Array): { jsonBytes: number; dataBytes: number } {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const jsonBytes = view.getUint32(0, true);
  const dataBytes = view.getUint32(4, true);
  if (jsonBytes > MAX_JSON_BYTES || dataBytes > MAX_DATA_BYTES) throw protocolError(`a frame of ${jsonBytes} + ${dataBytes} bytes`);
  return { jsonBytes, dataBytes };
}

/** The message of a JSON part; only that it is an object with a `type` is checked. Throws: bug, WORKER_PROTOCOL. */
export function decodeMessage(json: Uint8Array): { readonly type: string } & Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(DECODER.decode(json));
  } catch {
    throw protocolError('a frame that is no JSON');
  }
  if (typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string') {
    return value as { type: string } & Record<string, unknown>;
  }
  throw protocolError('a frame without a type');
}

/** Frames out of a stream, whatever pieces it comes in. Holds at most one frame. */
export class FrameDecoder {
  #pieces: Uint8Array[] = [];
  #held = 0;
  #wanted = HEADER_BYTES;

  /** The frames that `piece` completes. Throws: bug, WORKER_PROTOCOL. */
  *push(piece: Uint8Array): Generator<Frame<{ readonly type: string } & Record<string, unknown>>> {
    this.#pieces.push(piece);
    this.#held += piece.byteLength;
    while (this.#held >= this.#wanted) {
      const bytes = this.#joined();
      const { jsonBytes, dataBytes } = frameLengths(bytes.subarray(0, HEADER_BYTES));
      const end = HEADER_BYTES + jsonBytes + dataBytes;
      this.#wanted = end;
      if (bytes.byteLength < end) return;
      this.#keep(bytes.subarray(end));
      yield { message: decodeMessage(bytes.subarray(HEADER_BYTES, HEADER_BYTES + jsonBytes)), data: bytes.subarray(end - dataBytes, end) };
    }
  }

  #joined(): Uint8Array {
    const [first] = this.#pieces;
    if (this.#pieces.length === 1 && first !== undefined) return first;
    const joined = new Uint8Array(this.#held);
    let at = 0;
    for (const piece of this.#pieces) {
      joined.set(piece, at);
      at += piece.byteLength;
    }
    this.#pieces = [joined];
    return joined;
  }

  #keep(rest: Uint8Array): void {
    this.#pieces = [rest];
    this.#held = rest.byteLength;
    this.#wanted = HEADER_BYTES;
  }
}

export function protocolError(found: string): PlimsollError {
  return new PlimsollError('bug', 'WORKER_PROTOCOL', {
    doing: 'understand the confined reader',
    found,
    expected: 'a frame of the protocol',
  });
}

function tooLong(byteLength: number): PlimsollError {
  return new PlimsollError('over-budget', 'WORKER_OUTPUT', {
    doing: 'answer from inside the wall',
    found: `${byteLength} bytes at once`,
    expected: `at most ${MAX_JSON_BYTES}`,
  });
}

const KINDS: ReadonlySet<string> = new Set([
  ...['usage', 'not-found', 'corrupt', 'unsupported', 'refused', 'over-budget', 'busy', 'io', 'conflict', 'bug'],
]);

/** An error that crossed the wall, checked: only what an error has, of the types it has, of bounded length. */
export function reviveError(value: unknown, image: string): PlimsollError {
  const given = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  const { kind, code, message } = given;
  const isError =
    typeof kind === 'string' &&
    KINDS.has(kind) &&
    typeof code === 'string' &&
    /^[A-Z][A-Z0-9_]{0,63}$/.test(code) &&
    typeof message === 'string';
  if (!isError) return protocolError('an error that is none');
  const serialized = {
    kind,
    code,
    message: message.slice(0, MAX_TEXT_CHARACTERS),
    ...(typeof given['field'] === 'string' ? { field: given['field'].slice(0, MAX_TEXT_CHARACTERS) } : {}),
    ...(typeof given['at'] === 'number' ? { at: given['at'] } : {}),
    ...plain('found', given['found']),
    ...plain('expected', given['expected']),
  };
  return PlimsollError.revive(serialized as SerializedError, image);
}

function plain(name: 'found' | 'expected', value: unknown): object {
  if (typeof value === 'string') return { [name]: value.slice(0, MAX_TEXT_CHARACTERS) };
  return typeof value === 'number' || typeof value === 'boolean' ? { [name]: value } : {};
}
