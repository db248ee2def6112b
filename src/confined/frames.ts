/**
 * The protocol between worker and client: frames of a JSON part and bytes, each with its length in front.
 *
 *   u32 length of the JSON part | u32 length of the bytes | JSON, UTF-8 | bytes        little-endian
 *
 * JSON, not V8's own serialization: the client decodes what may come from a process that has been taken over, and no
 * structure of V8 is made of its bytes.
 */
import { ERROR_KINDS, KiB, MiB, PlimsollError, type SerializedError } from '#base';
import { isBoundedJson } from './bounded-json.ts';

/** JSON of a client's frame. */
export const MAX_JSON_BYTES = 32 * MiB;
/** JSON of a worker's frame: the most ranges that are retained of a stream take 2 MiB. */
export const MAX_ANSWER_BYTES = 4 * MiB;
/** Bytes of a worker's frame, of one read on its behalf, and of a name found in an image. */
export const MAX_DATA_BYTES = MiB;
/** Bytes of a client's frame: the storage map of a file of 16 million extents. */
export const MAX_CLIENT_DATA_BYTES = 512 * MiB;
export const HEADER_BYTES = 8;
/** Of each text of an error. */
const MAX_TEXT_CHARACTERS = 4 * KiB;

/** Frames of the worker. `id`: of the request that it works on. */
export type WorkerFrame =
  /** System calls are restricted; requests may come. */
  | { readonly type: 'ready' }
  /** A part of the answer, with bytes or without, which takes one credit; the result follows the last part. */
  | { readonly type: 'part'; readonly id: number; readonly value: unknown }
  | { readonly type: 'result'; readonly id: number; readonly value: unknown }
  /** The request failed. Without an `id`, before `ready`: the worker could not be started. */
  | { readonly type: 'error'; readonly id?: number; readonly error: SerializedError }
  /** A name found in the image, as bytes: may this file be read? */
  | { readonly type: 'file-request'; readonly id: number; readonly role: string }
  /** A read of a file that the client holds since request `owner`. */
  | {
      readonly type: 'read';
      readonly id: number;
      readonly owner: number;
      readonly file: number;
      readonly offset: number;
      readonly length: number;
    };

/** A file for the worker: its descriptor comes by the descriptor channel, or the client reads it, by `file`. */
export interface FileFrame {
  readonly byteLength: number;
  readonly file: number | null;
}

/** Frames of the client. */
export type ClientFrame =
  /**
   * Answered in the order in which they come. `keepsFiles`: if it succeeds, its files stay open until the session ends. `credit`:
   * the parts that may be sent before more credit comes.
   */
  | {
      readonly type: 'request';
      readonly id: number;
      readonly name: string;
      readonly params: unknown;
      readonly files: readonly FileFrame[];
      readonly keepsFiles: boolean;
      readonly credit: number;
    }
  | { readonly type: 'credit'; readonly id: number; readonly count: number }
  | ({ readonly type: 'file'; readonly info: unknown } & FileFrame)
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

/** The most that the frames of one side may hold. */
export interface FrameBounds {
  readonly jsonBytes: number;
  readonly dataBytes: number;
}

export const CLIENT_BOUNDS: FrameBounds = { jsonBytes: MAX_JSON_BYTES, dataBytes: MAX_CLIENT_DATA_BYTES };
export const WORKER_BOUNDS: FrameBounds = { jsonBytes: MAX_ANSWER_BYTES, dataBytes: MAX_DATA_BYTES };

/** Throws: over-budget, WORKER_OUTPUT, for what no frame of that side may hold. */
export function encodeFrame(message: WorkerFrame | ClientFrame, data: Uint8Array = NOTHING, bounds = CLIENT_BOUNDS): Uint8Array {
  const json = ENCODER.encode(JSON.stringify(message));
  if (json.byteLength > bounds.jsonBytes || data.byteLength > bounds.dataBytes) throw tooLong(json.byteLength + data.byteLength, bounds);
  const frame = new Uint8Array(HEADER_BYTES + json.byteLength + data.byteLength);
  const view = new DataView(frame.buffer);
  view.setUint32(0, json.byteLength, true);
  view.setUint32(4, data.byteLength, true);
  frame.set(json, HEADER_BYTES);
  frame.set(data, HEADER_BYTES + json.byteLength);
  return frame;
}

/** The lengths that a frame's header announces. Throws: bug, WORKER_PROTOCOL. */
export function frameLengths(header: Uint8Array, bounds = CLIENT_BOUNDS): { jsonBytes: number; dataBytes: number } {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const jsonBytes = view.getUint32(0, true);
  const dataBytes = view.getUint32(4, true);
  if (jsonBytes > bounds.jsonBytes || dataBytes > bounds.dataBytes) throw protocolError(`a frame of ${jsonBytes} + ${dataBytes} bytes`);
  return { jsonBytes, dataBytes };
}

/** The message of a JSON part; only its size and that it is an object with a `type` is checked. Throws: bug, WORKER_PROTOCOL. */
export function decodeMessage(json: Uint8Array, bounds = WORKER_BOUNDS): { readonly type: string } & Record<string, unknown> {
  if (bounds !== CLIENT_BOUNDS && !isBoundedJson(json)) throw protocolError('a frame that is nested too deep or has too many values');
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
      const { jsonBytes, dataBytes } = frameLengths(this.#buffer.subarray(0, HEADER_BYTES), WORKER_BOUNDS);
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
    doing: 'decode frame of the confined reader',
    found,
    expected: 'a frame of the protocol',
  });
}

function tooLong(byteLength: number, { jsonBytes, dataBytes }: FrameBounds): PlimsollError {
  return new PlimsollError('over-budget', 'WORKER_OUTPUT', {
    doing: 'encode an answer',
    found: `a frame of ${byteLength} bytes`,
    expected: `at most ${jsonBytes} bytes of JSON and ${dataBytes} of data`,
  });
}

const KINDS: ReadonlySet<string> = new Set(ERROR_KINDS);

/** An error of the worker, checked: the fields of an error, of their types, of bounded length. */
export function reviveError(value: unknown, image: string): PlimsollError {
  const given = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  const { kind, code, message } = given;
  const isError =
    typeof kind === 'string' &&
    KINDS.has(kind) &&
    typeof code === 'string' &&
    /^[A-Z][A-Z0-9_]{0,63}$/.test(code) &&
    typeof message === 'string';
  if (!isError) return protocolError('a malformed error object');
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
