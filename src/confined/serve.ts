/** The worker's side of a session: restricts this process, reports it, answers requests one by one until the client is gone. */
import { closeSync } from 'node:fs';
import { asPlimsollError } from '#base';
import { type ReadableDevice, readableDevice } from '#block';
import {
  CHANNEL_FD,
  DESCRIPTOR_FD,
  descriptorReceiver,
  inheritedDevice,
  readFully,
  type ReceiveDescriptors,
  sealProcess,
  writeFully,
} from '#host';
import { errorInside } from './error-inside.ts';
import { sealFilter } from './filters.ts';
import {
  CLIENT_BOUNDS,
  type ClientFrame,
  decodeMessage,
  encodeFrame,
  type FileFrame,
  frameLengths,
  HEADER_BYTES,
  MAX_DATA_BYTES,
  protocolError,
  reviveError,
  WORKER_BOUNDS,
  type WorkerFrame,
} from './frames.ts';
import { handlerOf, type Handlers, type ReceivedFile } from './handler.ts';
import type { WorkerOptions } from './limits.ts';

/** In messages, in the place of the image's name: the worker does not know it. */
const IMAGE = 'image';
const EXIT_NOT_RESTRICTED = 3;

/** Answers requests by `handlers`; ends the process when the client closes the channel. */
export async function serve(handlers: Handlers): Promise<never> {
  const session = new ServedSession(handlers, await restricted());
  send({ type: 'ready' });
  for (;;) await session.answerNext();
}

/** Before system calls are restricted nothing of a request has been read. */
async function restricted(): Promise<ReceiveDescriptors> {
  try {
    const options = JSON.parse(process.argv[2] ?? '') as WorkerOptions;
    const receive = await descriptorReceiver();
    await sealProcess({ ...options, filter: sealFilter() });
    return receive;
  } catch (error) {
    send({ type: 'error', error: asPlimsollError(error, 'sandbox the reader of the image').toJSON() });
    return process.exit(EXIT_NOT_RESTRICTED);
  }
}

type RequestFrame = Extract<ClientFrame, { readonly type: 'request' }>;
type Reply = Extract<ClientFrame, { readonly type: 'file' | 'bytes' }>;

interface ReceivedRequest {
  readonly request: RequestFrame;
  readonly data: Uint8Array;
  readonly fds: readonly number[];
}

class ServedSession {
  readonly #handlers: Handlers;
  readonly #receiveDescriptors: ReceiveDescriptors;
  /** Received while another one was being answered. */
  readonly #waiting: ReceivedRequest[] = [];
  /** Of the request in hand. */
  #id = 0;
  #credit = 0;
  #openFds: number[] = [];

  constructor(handlers: Handlers, receiveDescriptors: ReceiveDescriptors) {
    this.#handlers = handlers;
    this.#receiveDescriptors = receiveDescriptors;
  }

  async answerNext(): Promise<void> {
    while (this.#waiting.length === 0) this.#receiveUnasked();
    const { request, data, fds } = this.#waiting.shift() as ReceivedRequest;
    this.#id = request.id;
    this.#credit = request.credit;
    this.#openFds = [...fds];
    const answer = await this.#answer(request, data);
    if (!request.keepsFiles || !answer.isSuccess) for (const fd of this.#openFds) closeSync(fd);
    writeFully(CHANNEL_FD, answer.frame);
  }

  async #answer(
    { id, name, params, files }: RequestFrame,
    data: Uint8Array,
  ): Promise<{ readonly frame: Uint8Array; readonly isSuccess: boolean }> {
    try {
      const handler = handlerOf(this.#handlers, name);
      const fds = [...this.#openFds];
      const devices = files.map((file) => this.#deviceOf(file, fds));
      const value = await handler(params, {
        devices,
        data,
        // An abort kills this process, from outside: no code in here is relied on to notice it.
        signal: new AbortController().signal,
        requestFile: (named, role) => settled(() => this.#requestFile(named, role)),
        sendPart: (part, bytes) => this.#sendPart(part, bytes),
      });
      return { frame: encodeFrame({ type: 'result', id, value }, undefined, WORKER_BOUNDS), isSuccess: true };
    } catch (error) {
      const frame = encodeFrame({ type: 'error', id, error: errorInside(error).toJSON() }, undefined, WORKER_BOUNDS);
      return { frame, isSuccess: false };
    }
  }

  #sendPart(value: unknown, data: Uint8Array | undefined): void {
    while (this.#credit === 0) this.#receiveUnasked();
    this.#credit -= 1;
    send({ type: 'part', id: this.#id, value }, data);
  }

  #requestFile(name: Uint8Array, role: string): ReceivedFile {
    send({ type: 'file-request', id: this.#id, role }, name);
    const { message, data } = this.#receiveReply();
    if (message.type !== 'file') throw protocolError(message.type);
    const fds = message.file === null ? this.#receiveDescriptors(DESCRIPTOR_FD, 1) : [];
    this.#openFds.push(...fds);
    return { device: this.#deviceOf(message, [...fds]), info: message.info, data };
  }

  /** Takes the next of `fds` for a file whose descriptor was sent. */
  #deviceOf({ byteLength, file }: FileFrame, fds: number[]): ReadableDevice {
    return file === null ? inheritedDevice(fds.shift() as number, byteLength, IMAGE) : this.#remoteDevice(file, byteLength);
  }

  /** A file that the client holds open and reads for us, piece by piece. */
  #remoteDevice(file: number, byteLength: number): ReadableDevice {
    const owner = this.#id;
    const readPiece = (offset: number, length: number): Uint8Array => {
      send({ type: 'read', id: this.#id, owner, file, offset, length });
      const { message, data } = this.#receiveReply();
      if (message.type !== 'bytes') throw protocolError(message.type);
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
    return readableDevice({ byteLength, read: (target, offset) => settled(() => readNow(target, offset)) });
  }

  /** Receives a request or credit. */
  #receiveUnasked(): void {
    if (this.#receive() !== undefined) throw protocolError('a reply without a question');
  }

  #receiveReply(): { readonly message: Reply; readonly data: Uint8Array } {
    for (;;) {
      const reply = this.#receive();
      if (reply !== undefined) return reply;
    }
  }

  /** The next frame. Requests wait and credit counts; a reply is returned. When the client is gone, the process ends. */
  #receive(): { readonly message: Reply; readonly data: Uint8Array } | undefined {
    const { jsonBytes, dataBytes } = frameLengths(expectBytes(HEADER_BYTES));
    const message = decodeMessage(expectBytes(jsonBytes), CLIENT_BOUNDS) as unknown as ClientFrame;
    const data = expectBytes(dataBytes);
    if (message.type === 'request') {
      const count = message.files.filter(({ file }) => file === null).length;
      // Now, not when it is answered: descriptors come in the order of the frames.
      this.#waiting.push({ request: message, data, fds: count === 0 ? [] : this.#receiveDescriptors(DESCRIPTOR_FD, count) });
      return undefined;
    }
    if (message.type === 'credit') {
      // Late credit belongs to the request before.
      if (message.id === this.#id) this.#credit += message.count;
      return undefined;
    }
    if (message.type === 'error') throw reviveError(message.error, IMAGE);
    return { message, data };
  }
}

function send(message: WorkerFrame, data?: Uint8Array): void {
  writeFully(CHANNEL_FD, encodeFrame(message, data, WORKER_BOUNDS));
}

function expectBytes(length: number): Uint8Array {
  return readFully(CHANNEL_FD, length) ?? process.exit(0);
}

/** As a promise: an error of a synchronous call rejects. */
function settled<T>(call: () => T): Promise<T> {
  return new Promise((resolve) => {
    resolve(call());
  });
}
