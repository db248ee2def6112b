/** The inside of the wall: seals the process, says so, answers one request, ends. */
import { asPlimsollError, type PlimsollError } from '#base';
import { type ReadableDevice, readableDevice } from '#block';
import { CHANNEL_FD, FIRST_FILE_FD, inheritedDevice, readFully, sealProcess, writeFully } from '#host';
import { sealFilter } from './filters.ts';
import { errorInside } from './error-inside.ts';
import {
  type ClientFrame,
  decodeMessage,
  encodeFrame,
  type Frame,
  frameLengths,
  HEADER_BYTES,
  MAX_ANSWER_BYTES,
  MAX_DATA_BYTES,
  protocolError,
  reviveError,
  type WorkerFrame,
} from './frames.ts';
import { handlerOf, type Handlers } from './handler.ts';
import type { WorkerOrder } from './limits.ts';

/** In messages, where others have the name of the image: the worker is not told it. */
const IMAGE = 'image';
const EXIT_NOT_SEALED = 3;

/** One request, answered by `handlers`; the end of the channel before it is the end of the worker. */
export async function serve(handlers: Handlers): Promise<void> {
  try {
    const order = JSON.parse(process.argv[2] ?? '') as WorkerOrder;
    await sealProcess({ ...order, filter: sealFilter() });
  } catch (error) {
    say({ type: 'error', error: asPlimsollError(error, 'seal the reader of the image').toJSON() });
    process.exit(EXIT_NOT_SEALED);
  }
  say({ type: 'ready' });
  const { message } = hear();
  if (message.type !== 'request') throw protocolError(message.type);
  writeFully(CHANNEL_FD, await answer(handlers, message));
  process.exit(0);
}

async function answer(handlers: Handlers, request: Extract<ClientFrame, { type: 'request' }>): Promise<Uint8Array> {
  try {
    const handler = handlerOf(handlers, request.name);
    const devices = request.files.map(({ byteLength }, index) => inheritedDevice(FIRST_FILE_FD + index, byteLength, IMAGE));
    // To abort means to kill, from outside: nobody in here can be trusted to notice.
    const value = await handler(request.params, devices, new AbortController().signal, requestFile, tellPart);
    return encodeFrame({ type: 'result', value }, undefined, MAX_ANSWER_BYTES);
  } catch (error) {
    return encodeFrame({ type: 'error', error: errorInside(error).toJSON() });
  }
}

function say(message: WorkerFrame, data?: Uint8Array): void {
  writeFully(CHANNEL_FD, encodeFrame(message, data, MAX_ANSWER_BYTES));
}

/** The next frame of the client. When the client is gone, so is the worker. */
function hear(): Frame<ClientFrame> {
  const { jsonBytes, dataBytes } = frameLengths(expectBytes(HEADER_BYTES));
  const message = decodeMessage(expectBytes(jsonBytes)) as unknown as ClientFrame;
  return { message, data: expectBytes(dataBytes) };
}

function expectBytes(length: number): Uint8Array {
  return readFully(CHANNEL_FD, length) ?? process.exit(0);
}

function tellPart(value: unknown): void {
  say({ type: 'part', value });
}

function requestFile(name: Uint8Array, role: string): Promise<ReadableDevice> {
  return new Promise((resolve) => {
    say({ type: 'file-request', role }, name);
    const { message } = hear();
    if (message.type !== 'file') throw replyError(message);
    resolve(remoteDevice(message.file, message.byteLength));
  });
}

/** A file that the client holds open and reads for us, piece by piece. */
function remoteDevice(file: number, byteLength: number): ReadableDevice {
  const readPiece = (offset: number, length: number): Uint8Array => {
    say({ type: 'read', file, offset, length });
    const { message, data } = hear();
    if (message.type !== 'bytes') throw replyError(message);
    return data;
  };
  const readNow = (target: Uint8Array, offset: number): number => {
    const wanted = Math.max(0, Math.min(target.byteLength, byteLength - offset));
    let filled = 0;
    while (filled < wanted) {
      const piece = readPiece(offset + filled, Math.min(wanted - filled, MAX_DATA_BYTES));
      if (piece.byteLength === 0) break;
      target.set(piece, filled);
      filled += piece.byteLength;
    }
    return filled;
  };
  return readableDevice({
    byteLength,
    read: (target, offset) =>
      new Promise((resolve) => {
        resolve(readNow(target, offset));
      }),
  });
}

function replyError(message: ClientFrame): PlimsollError {
  return message.type === 'error' ? reviveError(message.error, IMAGE) : protocolError(message.type);
}
