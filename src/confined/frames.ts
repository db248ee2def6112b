/**
 * What worker and client say to each other: frames of a JSON part and bytes, each with its length in front.
 *
 *   u32 length of the JSON part | u32 length of the bytes | JSON, UTF-8 | bytes        little-endian
 *
 * JSON, not V8's own serialization: the client decodes what may come from a process that has been taken over, and no
 * structure of V8 is made of its bytes.
 */
import { KiB, MiB, PlimsollError, type SerializedError } from '#base';
import { isBoundedJson } from './bounded-json.ts';

/** Of the client's request: the names of several hundred files, every byte of them escaped. */
export const MAX_JSON_BYTES = 32 * MiB;
/** Of a worker's frame: the most places that are kept of a stream take 2 MiB. */
export const MAX_ANSWER_BYTES = 4 * MiB;
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

/** Most frames are shorter. */
const FIRST_BUFFER_BYTES = 4 * KiB;
const NOTHING = new Uint8Array(0);
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder('utf-8', { fatal: true });

/** Throws: over-budget, WORKER_OUTPUT, for what no frame may hold; `maxJsonBytes` is MAX_ANSWER_BYTES for a worker's frame. */
export function encodeFrame(message: WorkerFrame | ClientFrame, data: Uint8Array = NOTHING, maxJsonBytes = MAX_JSON_BYTES): Uint8Array {
  const json = ENCODER.encode(JSON.stringify(message));
  if (json.byteLength > maxJsonBytes || data.byteLength > MAX_DATA_BYTES) throw tooLong(json.byteLength + data.byteLength, maxJsonBytes);
  const frame = new Uint8Array(HEADER_BYTES + json.byteLength + data.byteLength);
  const view = new DataView(frame.buffer);
  view.setUint32(0, json.byteLength, true);
  view.setUint32(4, data.byteLength, true);
  frame.set(json, HEADER_BYTES);
  frame.set(data, HEADER_BYTES + json.byteLength);
  return frame;
}

/** The lengths that a frame's header announces; `maxJsonBytes` as in `encodeFrame`. Throws: bug, WORKER_PROTOCOL. */
export function frameLengths(header: Uint8Array, maxJsonBytes = MAX_JSON_BYTES): { jsonBytes: number; dataBytes: number } {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const jsonBytes = view.getUint32(0, true);
  const dataBytes = view.getUint32(4, true);
  if (jsonBytes > maxJsonBytes || dataBytes > MAX_DATA_BYTES) throw protocolError(`a frame of ${jsonBytes} + ${dataBytes} bytes`);
  return { jsonBytes, dataBytes };
}

/** The message of a JSON part; only its size and that it is an object with a `type` is checked. Throws: bug, WORKER_PROTOCOL. */
export function decodeMessage(json: Uint8Array): { readonly type: string } & Record<string, unknown> {
  if (!isBoundedJson(json)) throw protocolError('a frame that is nested too deep or has too many values');
  let value: unknown;
  try {
    value = JSON.parse(DECODER.decode(json));
  } catch {
    throw protocolError('a frame that is not valid JSON');
  }
  if (typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string') {
    return value as { type: string } & Record<string, unknown>;
  }
  throw protocolError('a frame without a type');
}

/**
 * A worker's frames out of a stream, whatever pieces it comes in. Holds one frame in one buffer: a frame that arrives byte by
 * byte costs no more.
 */
export class FrameDecoder {
  #buffer = new Uint8Array(FIRST_BUFFER_BYTES);
  #held = 0;
  #wanted = HEADER_BYTES;

  /** The frames that `piece` completes. Throws: bug, WORKER_PROTOCOL. */
  *push(piece: Uint8Array): Generator<Frame<{ readonly type: string } & Record<string, unknown>>> {
    for (let rest = piece; rest.byteLength > 0 || this.#held >= this.#wanted; ) {
      rest = this.#take(rest);
      if (this.#held < this.#wanted) return;
      const { jsonBytes, dataBytes } = frameLengths(this.#buffer.subarray(0, HEADER_BYTES), MAX_ANSWER_BYTES);
      const end = HEADER_BYTES + jsonBytes + dataBytes;
      this.#wanted = end;
      if (this.#held < end) continue;
      const bytes = this.#buffer;
      // The frame is the receiver's: the next one gets a buffer of its own.
      this.#buffer = new Uint8Array(FIRST_BUFFER_BYTES);
      this.#held = 0;
      this.#wanted = HEADER_BYTES;
      yield { message: decodeMessage(bytes.subarray(HEADER_BYTES, HEADER_BYTES + jsonBytes)), data: bytes.subarray(end - dataBytes, end) };
    }
  }

  /** Moves as much of `piece` into the buffer as the frame wants; the rest is given back. */
  #take(piece: Uint8Array): Uint8Array {
    const some = piece.subarray(0, this.#wanted - this.#held);
    const end = this.#held + some.byteLength;
    if (end > this.#buffer.byteLength) {
      const larger = new Uint8Array(Math.min(this.#wanted, 2 * end));
      larger.set(this.#buffer.subarray(0, this.#held));
      this.#buffer = larger;
    }
    this.#buffer.set(some, this.#held);
    this.#held = end;
    return piece.subarray(some.byteLength);
  }
}

export function protocolError(found: string): PlimsollError {
  return new PlimsollError('bug', 'WORKER_PROTOCOL', {
    doing: 'understand the confined reader',
    found,
    expected: 'a frame of the protocol',
  });
}

function tooLong(byteLength: number, most: number): PlimsollError {
  return new PlimsollError('over-budget', 'WORKER_OUTPUT', {
    doing: 'answer from inside the wall',
    found: `${byteLength} bytes at once`,
    expected: `at most ${most}`,
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
    ...(Number.isSafeInteger(given['at']) && (given['at'] as number) >= 0 ? { at: given['at'] as number } : {}),
    ...plain('found', given['found']),
    ...plain('expected', given['expected']),
  };
  return PlimsollError.revive(serialized as SerializedError, image);
}

function plain(name: 'found' | 'expected', value: unknown): object {
  if (typeof value === 'string') return { [name]: value.slice(0, MAX_TEXT_CHARACTERS) };
  return typeof value === 'number' || typeof value === 'boolean' ? { [name]: value } : {};
}
