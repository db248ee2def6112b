/**
 * The client's side of a session: one confined process that answers requests, one by one, in the order in which they were sent.
 * Whatever the worker was made to do, the client gets a value or a typed error.
 *
 * A result is untrusted text: check its shape, and escape it before showing it.
 *
 * Open files are sent to the running worker as descriptors. A file without a descriptor, or on a host where descriptors cannot
 * be sent, is read by the client on the worker's behalf, by a handle that is valid for that file and request only.
 */
import { asPlimsollError, MiB, PlimsollError, quoteForHumans } from '#base';
import { type ReadableDevice, readUpTo } from '#block';
import { type DescriptorSender, fileBeside, fileDevice, type Jailed, openDescriptorSender, reopenedForReading, startJailed } from '#host';
import { delay, exitError, type LimitCode, limitError, type SessionEnd } from './exit-error.ts';
import { startFilter } from './filters.ts';
import { type ClientFrame, encodeFrame, type FileFrame, FrameDecoder, MAX_DATA_BYTES, protocolError, reviveError } from './frames.ts';
import { DEFAULT_LIMITS, type Limits, type WorkerOptions } from './limits.ts';

export interface ConfinedRequest {
  /** A name in the table of handlers. */
  readonly name: string;
  /** JSON. */
  readonly params: unknown;
  /** Bytes beside the parameters, at most MAX_CLIENT_DATA_BYTES. */
  readonly data?: Uint8Array | undefined;
}

/** A file that was opened for reading, by its descriptor and the bytes to read; or a device that the client reads. */
export type ConfinedFile = { readonly fd: number; readonly byteLength: number } | { readonly device: ReadableDevice };

/** A file that the policy allows. */
export interface GrantedFile {
  readonly file: ConfinedFile;
  /** JSON for the worker, beside the file. */
  readonly info?: unknown;
  readonly data?: Uint8Array | undefined;
  /** May be called twice. */
  close(): Promise<void>;
}

/** Answers a name found in the image; refuses by throwing. The name is as the image has it, unchecked. */
export type OnFileRequest = (request: { readonly name: Uint8Array; readonly role: string }) => Promise<GrantedFile>;

export interface RequestOptions {
  /** The devices of the request, in this order. They stay the caller's to close. */
  readonly files?: readonly ConfinedFile[] | undefined;
  /** Ends the session at once if the worker is at this request. */
  readonly signal?: AbortSignal | undefined;
  /** Without it every name is refused. */
  readonly onFileRequest?: OnFileRequest | undefined;
  /**
   * Takes each part of the answer, one after the other; while it takes one, the worker may send PART_CREDIT more, then waits.
   * The limit by the clock then begins anew. The session ends with what it throws. Without it a part is a protocol error.
   */
  readonly onPart?: ((part: unknown, data: Uint8Array) => void | Promise<void>) | undefined;
  /** Files that the worker may request; 64 when left out. */
  readonly maxFiles?: number | undefined;
  /** If the request succeeds, its files stay open for later requests, until the session ends. */
  readonly keepsFiles?: boolean | undefined;
  /** The name of the image, for messages. */
  readonly image?: string | undefined;
}

export interface SessionOptions {
  readonly limits?: Partial<Limits> | undefined;
  /** The worker's bundle; that of dist/ when left out. */
  readonly worker?: string | undefined;
}

/** The outcome of a request: a value, an error of its own, or the end of the session. `isFirst`: the worker answered none before. */
export type Outcome =
  | { readonly type: 'value'; readonly value: unknown }
  | { readonly type: 'error'; readonly error: unknown; readonly isFirst: boolean }
  /** `inHand`: the worker was at this request. */
  | { readonly type: 'ended'; readonly error: unknown; readonly inHand: boolean; readonly isFirst: boolean };

/** Parts that a worker may send ahead of the client. */
export const PART_CREDIT = 16;
/** An image that names more files than any chain has is made to have them opened. */
const MAX_GRANTED_FILES = 64;
const MAX_ROLE_LENGTH = 64;
/** Of standard error, for the reason of an exit. */
const MAX_STDERR_CHARACTERS = 8192;
/** Share of the memory limit for V8's old space, so that V8 reports exhaustion before the kernel kills it; buffers get the rest. */
const HEAP_SHARE = 0.5;
/** A killed process can hang in the kernel, for example on a dead file server. After this its end is not waited for. */
const KILL_GRACE_MS = 5000;

/** WebAssembly then reserves no more address space than it may use. */
const NO_GUARD_REGIONS = '--disable-wasm-trap-handler';

/** Relative to this module as it is built (dist/chunks/, dist/), and to its source. */
const BUNDLES = ['./worker.js', '../worker.js', '../../dist/worker.js'];

const NO_DATA = new Uint8Array(0);

type Message = { readonly type: string } & Record<string, unknown>;

/** A request from its sending to its outcome. */
class Exchange {
  readonly id: number;
  readonly request: ConfinedRequest;
  readonly options: RequestOptions;
  readonly outcome: Promise<Outcome>;
  readonly granted: GrantedFile[] = [];
  /** Read on the worker's behalf, by the number that it has for them. */
  readonly remote: ReadableDevice[] = [];
  /** The worker has sent a question and waits; another frame before the reply is a protocol error. */
  isReplying = false;
  /** When the last reply was sent. */
  replied: Promise<void> = Promise.resolve();
  /** When the parts that have come were taken. */
  taken: Promise<void> = Promise.resolve();
  /** Thrown by `onPart`. */
  partError: { readonly error: unknown } | undefined;
  credit: number;
  isOver = false;
  resolve: (outcome: Outcome) => void = () => {};
  onAbort: (() => void) | undefined;

  constructor(id: number, request: ConfinedRequest, options: RequestOptions) {
    this.id = id;
    this.request = request;
    this.options = options;
    this.credit = options.onPart === undefined ? 0 : PART_CREDIT;
    this.outcome = new Promise((resolve) => {
      this.resolve = resolve;
    });
  }
}

export class WorkerSession {
  readonly #jailed: Jailed;
  readonly #descriptors: DescriptorSender | undefined;
  readonly #limits: Limits;
  readonly #decoder = new FrameDecoder();
  /** Not answered yet, in the order in which the worker gets them: it is at the first. */
  readonly #exchanges: Exchange[] = [];
  /** Answered, and their files are open. By id. */
  readonly #keepers = new Map<number, Exchange>();
  readonly #gone: Promise<void>;
  #timer: NodeJS.Timeout | undefined;
  #lastId = 0;
  #sentId = 0;
  #answeredCount = 0;
  #isReady = false;
  #end: SessionEnd | undefined;
  #onEnd = (): void => {};
  #outputBytes = 0;
  #stderr = '';

  /** Starts a worker. Throws: unsupported, SANDBOX_UNAVAILABLE; io. */
  static async start(options: SessionOptions = {}): Promise<WorkerSession> {
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    const descriptors = await openDescriptorSender();
    try {
      return new WorkerSession(startWorker(options, limits, descriptors), descriptors, limits);
    } catch (error) {
      descriptors?.close();
      throw error;
    }
  }

  private constructor(jailed: Jailed, descriptors: DescriptorSender | undefined, limits: Limits) {
    this.#jailed = jailed;
    this.#descriptors = descriptors;
    this.#limits = limits;
    const { channel, stderr } = jailed;
    channel.on('data', (piece: Uint8Array) => this.#receive(piece));
    // The way in which the worker ends explains it.
    channel.on('error', () => {});
    stderr.on('data', (piece: Uint8Array) => this.#note(piece));
    stderr.on('error', () => {});
    this.#gone = this.#waitForExit();
    descriptors?.closeChildEnd();
  }

  /** Takes requests; false once the session has ended or is ending. */
  get isOpen(): boolean {
    return this.#end === undefined;
  }

  /** Requests that were answered, with a value or an error of their own. */
  get answeredCount(): number {
    return this.#answeredCount;
  }

  /** Requests without an outcome yet. */
  get pendingCount(): number {
    return this.#exchanges.length;
  }

  /** Never rejects. */
  exchange(request: ConfinedRequest, options: RequestOptions = {}): Promise<Outcome> {
    const { signal } = options;
    if (signal?.aborted === true) return Promise.resolve({ type: 'error', error: signal.reason as unknown, isFirst: false });
    if (this.#end !== undefined) return Promise.resolve({ type: 'ended', error: this.#endError(undefined), inHand: false, isFirst: false });
    this.#lastId += 1;
    const exchange = new Exchange(this.#lastId, request, options);
    exchange.onAbort = () => this.#abort(exchange);
    signal?.addEventListener('abort', exchange.onAbort, { once: true });
    this.#exchanges.push(exchange);
    if (this.#exchanges.length === 1) this.#startClock();
    if (this.#isReady) this.#sendPending();
    return exchange.outcome;
  }

  /** Ends the worker; resolves once no process of it is left, or after a grace period. May be called twice. */
  async close(): Promise<void> {
    this.#finish({ reason: 'closed' });
    await this.#gone;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #abort(exchange: Exchange): void {
    const error: unknown = exchange.options.signal?.reason;
    if (exchange === this.#exchanges[0]) this.#finish({ reason: 'error', error });
    else this.#resolve(exchange, { type: 'error', error, isFirst: false });
  }

  /** Resolves once no process of the worker is left. */
  async #waitForExit(): Promise<void> {
    const grace = new Promise<undefined>((resolve) => {
      this.#onEnd = () => void delay(KILL_GRACE_MS).then(() => resolve(undefined));
    });
    try {
      const end = await Promise.race([this.#jailed.ended, grace]);
      if (end !== undefined) this.#finish({ reason: 'exit', exit: end });
    } catch (error) {
      this.#finish({ reason: 'error', error });
    }
    this.#descriptors?.close();
    const holders = [...this.#exchanges, ...this.#keepers.values()];
    await Promise.race([Promise.all(holders.map((exchange) => closeFiles(exchange))), delay(KILL_GRACE_MS)]);
    for (const [index, exchange] of this.#exchanges.splice(0).entries()) {
      this.#resolve(exchange, {
        type: 'ended',
        error: this.#endError(exchange),
        inHand: index === 0,
        isFirst: index === 0 && this.#answeredCount === 0,
      });
    }
  }

  /** The first reason stands; frames that come later are ignored. */
  #finish(end: SessionEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    clearTimeout(this.#timer);
    this.#jailed.kill();
    this.#onEnd();
  }

  #endError(exchange: Exchange | undefined): unknown {
    const end = this.#end as SessionEnd;
    if (end.reason === 'error') return end.error;
    const context = {
      image: exchange === undefined ? 'image' : imageOf(exchange),
      limits: this.#limits,
      stderr: this.#stderr,
      isReady: this.#isReady,
    };
    return exitError(end, context);
  }

  #startClock(): void {
    clearTimeout(this.#timer);
    this.#outputBytes = 0;
    if (this.#exchanges.length === 0 || this.#end !== undefined) return;
    this.#timer = setTimeout(() => this.#exceed('WORKER_TIME'), this.#limits.wallMs);
  }

  #count(piece: Uint8Array): void {
    this.#outputBytes += piece.byteLength;
    if (this.#outputBytes > this.#limits.outputBytes) this.#exceed('WORKER_OUTPUT');
  }

  #exceed(code: LimitCode): void {
    const [exchange] = this.#exchanges;
    const image = exchange === undefined ? 'image' : imageOf(exchange);
    this.#finish({ reason: 'error', error: limitError(code, { image, limits: this.#limits }) });
  }

  #note(piece: Uint8Array): void {
    this.#count(piece);
    const text = this.#stderr + new TextDecoder('latin1').decode(piece);
    // The beginning has the reason, the end a stack.
    this.#stderr = text.slice(0, MAX_STDERR_CHARACTERS);
  }

  #receive(piece: Uint8Array): void {
    this.#count(piece);
    try {
      if (this.#end !== undefined) return;
      for (const { message, data } of this.#decoder.push(piece)) {
        this.#take(message, data);
        if (this.#end !== undefined) return;
      }
    } catch (error) {
      this.#finish({ reason: 'error', error });
    }
  }

  #take(message: Message, data: Uint8Array): void {
    const { type } = message;
    if (!this.#isReady) {
      this.#takeReady(message);
      return;
    }
    const exchange = this.#exchanges[0];
    if (exchange === undefined || exchange.id > this.#sentId) throw protocolError(`${quoteForHumans(type)} without a request`);
    if (message['id'] !== exchange.id) throw protocolError(`${quoteForHumans(type)} of another request`);
    if (exchange.isReplying) throw protocolError(`${quoteForHumans(type)} before a reply`);
    if (type === 'result') this.#answer({ type: 'value', value: message['value'] });
    else if (type === 'error') {
      const error = reviveError(message['error'], imageOf(exchange));
      this.#answer({ type: 'error', error, isFirst: this.#answeredCount === 0 });
    } else if (type === 'part') this.#takePart(exchange, message['value'], data);
    else if (type === 'file-request') this.#reply(exchange, this.#grant(exchange, message['role'], data));
    else if (type === 'read') this.#reply(exchange, readFor(this.#holderOf(exchange, message), message));
    else throw protocolError(`a frame of type ${quoteForHumans(type)}`);
  }

  #takeReady(message: Message): void {
    if (message.type === 'error') throw reviveError(message['error'], 'image');
    if (message.type !== 'ready') throw protocolError(`${quoteForHumans(message.type)} before it was ready`);
    this.#isReady = true;
    this.#sendPending();
  }

  #sendPending(): void {
    for (const exchange of [...this.#exchanges]) {
      if (exchange.id <= this.#sentId || this.#end !== undefined) continue;
      this.#sentId = exchange.id;
      const { name, params, data = NO_DATA } = exchange.request;
      try {
        exchange.options.signal?.throwIfAborted();
        const files = this.#hand(exchange, exchange.options.files ?? []);
        const { id, credit } = exchange;
        this.#send({ type: 'request', id, name, params, files, keepsFiles: exchange.options.keepsFiles === true, credit }, data);
      } catch (error) {
        // Out of descriptors, or a request that no frame can hold: nothing of it was sent.
        this.#exchanges.splice(this.#exchanges.indexOf(exchange), 1);
        this.#resolve(exchange, { type: 'error', error, isFirst: false });
        if (this.#exchanges.length === 0) clearTimeout(this.#timer);
      }
    }
  }

  /** Sends the descriptors of `files`, where they can be sent: all of them or none. Throws: io. */
  #hand(exchange: Exchange, files: readonly ConfinedFile[]): FileFrame[] {
    const fds = files.flatMap((file) => ('fd' in file ? [file.fd] : []));
    using reopened = reopenedForReading(fds);
    const isSent = fds.length > 0 && this.#descriptors?.send(reopened.fds) === true;
    return files.map((file) => {
      if ('fd' in file && isSent) return { byteLength: file.byteLength, file: null };
      const device = deviceOf(file, imageOf(exchange));
      return { byteLength: device.byteLength, file: exchange.remote.push(device) - 1 };
    });
  }

  /** At once, since the next frame is of the next request; the outcome once all parts were taken. */
  #answer(outcome: Outcome): void {
    const exchange = this.#exchanges.shift() as Exchange;
    const isFirst = this.#answeredCount === 0;
    this.#answeredCount += 1;
    const isKeeper = outcome.type === 'value' && exchange.options.keepsFiles === true && hasFiles(exchange);
    if (isKeeper) this.#keepers.set(exchange.id, exchange);
    this.#startClock();
    void (async (): Promise<void> => {
      await exchange.taken;
      if (!isKeeper) await closeFiles(exchange);
      const { partError } = exchange;
      this.#resolve(exchange, partError === undefined ? outcome : { type: 'ended', ...partError, inHand: true, isFirst });
    })();
  }

  #resolve(exchange: Exchange, outcome: Outcome): void {
    if (exchange.isOver) return;
    exchange.isOver = true;
    if (exchange.onAbort !== undefined) exchange.options.signal?.removeEventListener('abort', exchange.onAbort);
    exchange.resolve(outcome);
  }

  #takePart(exchange: Exchange, part: unknown, data: Uint8Array): void {
    const { onPart } = exchange.options;
    if (onPart === undefined) throw protocolError('an unexpected partial answer');
    if (exchange.credit === 0) throw protocolError('more parts than it had credit for');
    exchange.credit -= 1;
    // The client's own time is not the worker's.
    clearTimeout(this.#timer);
    exchange.taken = this.#passOn(exchange, () => onPart(part, data));
  }

  async #passOn(exchange: Exchange, take: () => void | Promise<void>): Promise<void> {
    await exchange.taken;
    if (this.#end !== undefined) return;
    try {
      await take();
      exchange.credit += 1;
      this.#send({ type: 'credit', id: exchange.id, count: 1 });
      if (exchange === this.#exchanges[0]) this.#startClock();
    } catch (error) {
      exchange.partError = { error };
      this.#finish({ reason: 'error', error });
    }
  }

  /** The request with whose files `message` reads. */
  #holderOf(exchange: Exchange, { owner }: Message): Exchange {
    const holder = owner === exchange.id ? exchange : this.#keepers.get(owner as number);
    if (holder === undefined) throw protocolError('a read of a file that is not open');
    return holder;
  }

  /** A refusal of the policy is sent to the worker: the image may be readable without that file. */
  #reply(exchange: Exchange, answer: Promise<readonly [ClientFrame, Uint8Array?]>): void {
    exchange.isReplying = true;
    exchange.replied = this.#sendReply(exchange, answer).catch((error: unknown) => this.#finish({ reason: 'error', error }));
  }

  async #sendReply(exchange: Exchange, answer: Promise<readonly [ClientFrame, Uint8Array?]>): Promise<void> {
    const [message, data] = await answer.catch((error: unknown): readonly [ClientFrame] => {
      const known = asPlimsollError(error, 'read a file that the image names');
      if (known.kind === 'bug' || known.code === 'WORKER_FILES') this.#finish({ reason: 'error', error: known });
      return [{ type: 'error', error: known.toJSON() }];
    });
    exchange.isReplying = false;
    this.#send(message, data);
  }

  async #grant(exchange: Exchange, role: unknown, name: Uint8Array): Promise<readonly [ClientFrame, Uint8Array?]> {
    if (typeof role !== 'string' || role.length > MAX_ROLE_LENGTH) throw protocolError('a file request without a role');
    const { maxFiles = MAX_GRANTED_FILES } = exchange.options;
    if (exchange.granted.length >= maxFiles)
      throw limitError('WORKER_FILES', { image: imageOf(exchange), limits: this.#limits, most: `${maxFiles} files` });
    const granted = await (exchange.options.onFileRequest ?? refuseAll)({ name: Uint8Array.from(name), role });
    exchange.granted.push(granted);
    // The session ended meanwhile: its files have been closed already, or are about to be.
    if (this.#end !== undefined) {
      await granted.close();
      throw protocolError('a session that has ended');
    }
    const [file] = this.#hand(exchange, [granted.file]) as [FileFrame];
    return [{ type: 'file', ...file, info: granted.info ?? null }, granted.data ?? NO_DATA];
  }

  #send(message: ClientFrame, data?: Uint8Array): void {
    if (this.#end === undefined) this.#jailed.channel.write(encodeFrame(message, data));
  }
}

async function readFor(
  { remote }: Exchange,
  { file, offset, length }: Record<string, unknown>,
): Promise<readonly [ClientFrame, Uint8Array]> {
  const device = typeof file === 'number' ? remote[file] : undefined;
  if (device === undefined || !isCount(offset) || !isCount(length) || length > MAX_DATA_BYTES) throw protocolError('an out-of-bounds read');
  const data = await readUpTo(device, offset, length);
  return [{ type: 'bytes' }, data];
}

function hasFiles({ granted, remote }: Exchange): boolean {
  return granted.length > 0 || remote.length > 0;
}

/** Not during a read: its descriptor could be another file's by then. */
async function closeFiles({ replied, granted }: Exchange): Promise<void> {
  await replied;
  for (const file of granted) await file.close();
}

/** The device by which the client reads `file`. */
export function deviceOf(file: ConfinedFile, image: string): ReadableDevice {
  return 'fd' in file ? fileDevice(file.fd, file.byteLength, image) : file.device;
}

function imageOf({ options }: Exchange): string {
  return options.image ?? 'image';
}

function startWorker(options: SessionOptions, limits: Limits, descriptors: DescriptorSender | undefined): Jailed {
  const boundsAddressSpace = hasNoGuardRegions(process.versions.node);
  const worker: WorkerOptions = { cpuSeconds: limits.cpuSeconds, memoryBytes: limits.memoryBytes, boundsAddressSpace };
  const heapMiB = Math.ceil((limits.memoryBytes * HEAP_SHARE) / MiB);
  const flags = [`--max-old-space-size=${heapMiB}`, '--disallow-code-generation-from-strings'];
  return startJailed({
    script: options.worker ?? fileBeside(import.meta.url, BUNDLES),
    nodeFlags: [...flags, ...(boundsAddressSpace ? [NO_GUARD_REGIONS] : [])],
    args: [JSON.stringify(worker)],
    filter: startFilter(),
    descriptorFd: descriptors?.childFd,
  });
}

/** Node has the flag from 20.15 and 22.2 on. */
function hasNoGuardRegions(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 22 || (major === 22 && minor >= 2) || (major === 20 && minor >= 15);
}

export function refuseAll({ role }: { readonly role: string }): Promise<never> {
  return Promise.reject(
    new PlimsollError('refused', 'REFERENCE_REFUSED', { doing: 'follow a reference of the image', found: role, expected: 'none' }),
  );
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
