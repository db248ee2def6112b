/**
 * The outside of the wall. Each request gets a worker of its own, which has seen no other image and is gone afterwards:
 * whatever it was made to do, it can answer wrong, or not at all, and nothing else.
 *
 * Every end has a typed error. A result is what the worker says, so it is a stranger's text: show it escaped.
 *
 * Files that an image names are not handed in. Node cannot pass a descriptor to a process that runs already, and once
 * sealed the worker could not open one; so where the policy allows a name, the client opens the file and reads it on the
 * worker's behalf, a piece at a time, by a handle that is good for that file and nothing else.
 */
import { asPlimsollError, PlimsollError, quoteForHumans } from '#base';
import { type ReadableDevice, readUpTo } from '#block';
import { fileBeside, reopenedForReading, type Jailed, type JailEnd, startJailed } from '#host';
import { startFilter } from './filters.ts';
import { type ClientFrame, encodeFrame, FrameDecoder, MAX_DATA_BYTES, protocolError, reviveError } from './frames.ts';
import { handlerOf, type Handlers, type RequestFile } from './handler.ts';
import { DEFAULT_LIMITS, type Limits, type WorkerOrder } from './limits.ts';

export interface ConfinedRequest {
  /** A name in the table of handlers. */
  readonly name: string;
  /** What JSON can carry. */
  readonly params: unknown;
}

/** A file that was opened for reading, and how much of it there is to read. */
export interface ConfinedFile {
  readonly fd: number;
  readonly byteLength: number;
}

/** A file that the policy allows. */
export interface GrantedFile {
  readonly device: ReadableDevice;
  /** May be called twice. */
  close(): Promise<void>;
}

/** Answers a name found in the image; refuses by throwing. The name is as the image has it, judged by nobody yet. */
export type OnFileRequest = (request: { readonly name: Uint8Array; readonly role: string }) => Promise<GrantedFile>;

export interface ConfinedOptions {
  /** The devices of the request, in this order. They stay the caller's to close. */
  readonly files?: readonly ConfinedFile[];
  readonly limits?: Partial<Limits>;
  /** Ends the worker at once; the promise then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Without it every name is refused. */
  readonly onFileRequest?: OnFileRequest;
  /**
   * Hears each part of the answer; the limit by the clock then begins anew. Ends the worker by throwing, and the promise
   * rejects with that. Without it a part is none of the protocol.
   */
  readonly onPart?: (part: unknown) => void;
  /** The name of the image, for messages. */
  readonly image?: string;
  /** The worker's bundle; that of dist/ when left out. */
  readonly worker?: string;
}

/** An image that names more files than any chain has is made to make us open them. */
const MAX_GRANTED_FILES = 64;
const MAX_ROLE_LENGTH = 64;
/** Of standard error, to tell how it ended. */
const MAX_COMPLAINT_CHARACTERS = 8192;
/** The old space of V8 may take so much of the memory, so that it says itself when it is full, and buffers get the rest. */
const HEAP_SHARE = 0.5;
/** A killed process can hang in the kernel, on a dead file server for one. Nobody waits for it longer than this. */
const MAX_BURIAL_MS = 5000;
const MiB = 2 ** 20;

/** WebAssembly then reserves no more address space than it may use. */
const NO_GUARD_REGIONS = '--disable-wasm-trap-handler';

/** Relative to this module as it is built (dist/chunks/, dist/), and to its source. */
const BUNDLES = ['./worker.js', '../worker.js', '../../dist/worker.js'];

/**
 * The answer of a confined worker to `request`.
 *
 * Throws: what the handler throws; over-budget, WORKER_TIME, WORKER_CPU, WORKER_MEMORY, WORKER_OUTPUT, WORKER_FILES;
 * io, WORKER_KILLED; bug, WORKER_CRASHED, WORKER_ENDED, WORKER_PROTOCOL; unsupported, SANDBOX_UNAVAILABLE,
 * SANDBOX_NOT_SEALED; the reason of the signal.
 */
export async function runConfined(request: ConfinedRequest, options: ConfinedOptions = {}): Promise<unknown> {
  options.signal?.throwIfAborted();
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const jailed = startWorker(options, limits);
  return new Conversation(jailed, request, options, limits).outcome();
}

/** The same without a wall: for whoever has typed --unconfined, and never as a way out. */
export async function runUnconfined(
  handlers: Handlers,
  request: ConfinedRequest,
  devices: readonly ReadableDevice[],
  options: Pick<ConfinedOptions, 'signal' | 'onFileRequest' | 'onPart' | 'image'> = {},
): Promise<unknown> {
  const handler = handlerOf(handlers, request.name);
  const granted: GrantedFile[] = [];
  try {
    const requestFile: RequestFile = async (name, role) => {
      const file = await (options.onFileRequest ?? refuseAll)({ name, role });
      granted.push(file);
      return file.device;
    };
    const signal = options.signal ?? new AbortController().signal;
    return await handler(request.params, devices, signal, requestFile, options.onPart ?? (() => {}));
  } finally {
    for (const file of granted) await file.close();
  }
}

function startWorker(options: ConfinedOptions, limits: Limits): Jailed {
  const boundsAddressSpace = hasNoGuardRegions(process.versions.node);
  const order: WorkerOrder = { cpuSeconds: limits.cpuSeconds, memoryBytes: limits.memoryBytes, boundsAddressSpace };
  const heapMiB = Math.ceil((limits.memoryBytes * HEAP_SHARE) / MiB);
  const flags = [`--max-old-space-size=${heapMiB}`, '--disallow-code-generation-from-strings'];
  using files = reopenedForReading((options.files ?? []).map(({ fd }) => fd));
  return startJailed({
    script: options.worker ?? fileBeside(import.meta.url, BUNDLES),
    nodeFlags: [...flags, ...(boundsAddressSpace ? [NO_GUARD_REGIONS] : [])],
    words: [JSON.stringify(order)],
    filter: startFilter(),
    fds: files.fds,
  });
}

/** Node has the flag from 20.15 and 22.2 on. */
function hasNoGuardRegions(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 22 || (major === 22 && minor >= 2) || (major === 20 && minor >= 15);
}

function refuseAll({ role }: { readonly role: string }): Promise<never> {
  return Promise.reject(
    new PlimsollError('refused', 'REFERENCE_REFUSED', { doing: 'follow a reference of the image', found: role, expected: 'none' }),
  );
}

type Verdict = { readonly value: unknown } | { readonly reason: unknown };

class Conversation {
  readonly #jailed: Jailed;
  readonly #request: ConfinedRequest;
  readonly #options: ConfinedOptions;
  readonly #limits: Limits;
  readonly #decoder = new FrameDecoder();
  readonly #granted: GrantedFile[] = [];
  #verdict: Verdict | undefined;
  #isReady = false;
  /** The worker has asked and waits; if it speaks again meanwhile, it is not our worker any more. */
  #isAnswering = false;
  /** When the last answer was given. */
  #answered: Promise<void> = Promise.resolve();
  #outputBytes = 0;
  #complaints = '';

  constructor(jailed: Jailed, request: ConfinedRequest, options: ConfinedOptions, limits: Limits) {
    this.#jailed = jailed;
    this.#request = request;
    this.#options = options;
    this.#limits = limits;
  }

  async outcome(): Promise<unknown> {
    const { channel, complaints } = this.#jailed;
    const { signal } = this.#options;
    const onAbort = (): void => this.#settle({ reason: signal?.reason });
    const onTimeout = (): void => this.#settle({ reason: this.#over('WORKER_TIME', `${this.#limits.wallMs} ms`) });
    const timer = setTimeout(onTimeout, this.#limits.wallMs);
    this.#onPartHeard = () => void timer.refresh();
    signal?.addEventListener('abort', onAbort, { once: true });
    channel.on('data', (piece: Uint8Array) => this.#hear(piece));
    // How it broke is told by how the worker ended.
    channel.on('error', () => {});
    complaints.on('data', (piece: Uint8Array) => this.#note(piece));
    complaints.on('error', () => {});
    try {
      await this.#burial();
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      await this.#closeFiles();
    }
    const verdict = this.#verdict;
    if (verdict === undefined) throw this.#internal();
    if ('reason' in verdict) throw verdict.reason;
    return verdict.value;
  }

  /** Until nothing is left of the worker. */
  async #burial(): Promise<void> {
    const patience = new Promise<undefined>((resolve) => {
      this.#onSettled = () => void afterwards(MAX_BURIAL_MS).then(() => resolve(undefined));
    });
    try {
      const end = await Promise.race([this.#jailed.ended, patience]);
      if (end !== undefined) this.#settle({ reason: this.#obituary(end) });
    } catch (error) {
      this.#settle({ reason: error });
    }
  }

  /** Not under a read that is still going on: its descriptor could be another file's by then. */
  async #closeFiles(): Promise<void> {
    const closed = (async (): Promise<void> => {
      await this.#answered;
      for (const file of this.#granted) await file.close();
    })();
    await Promise.race([closed, afterwards(MAX_BURIAL_MS)]);
  }

  #onSettled = (): void => {};
  #onPartHeard = (): void => {};

  /** The first verdict stands. The worker has nothing more to say then, whatever it does. */
  #settle(verdict: Verdict): void {
    if (this.#verdict !== undefined) return;
    this.#verdict = verdict;
    this.#jailed.kill();
    this.#onSettled();
  }

  #count(piece: Uint8Array): void {
    this.#outputBytes += piece.byteLength;
    if (this.#outputBytes <= this.#limits.outputBytes) return;
    this.#settle({ reason: this.#over('WORKER_OUTPUT', `${this.#limits.outputBytes} bytes`) });
  }

  #note(piece: Uint8Array): void {
    this.#count(piece);
    const text = this.#complaints + new TextDecoder('latin1').decode(piece);
    // The beginning says what happened, the end is a stack.
    this.#complaints = text.slice(0, MAX_COMPLAINT_CHARACTERS);
  }

  #hear(piece: Uint8Array): void {
    this.#count(piece);
    try {
      if (this.#verdict !== undefined) return;
      for (const { message, data } of this.#decoder.push(piece)) {
        this.#take(message, data);
        if (this.#verdict !== undefined) return;
      }
    } catch (error) {
      this.#settle({ reason: error });
    }
  }

  #take(message: { readonly type: string } & Record<string, unknown>, data: Uint8Array): void {
    const { type } = message;
    if (type === 'error') this.#settle({ reason: reviveError(message['error'], this.#image()) });
    else if (!this.#isReady) this.#takeReady(type);
    else if (this.#isAnswering) this.#settle({ reason: protocolError(`${quoteForHumans(type)} before an answer`) });
    else if (type === 'result') this.#settle({ value: message['value'] });
    else if (type === 'part') this.#takePart(message['value']);
    else if (type === 'file-request') this.#reply(this.#grant(message['role'], data));
    else if (type === 'read') this.#reply(this.#readFor(message));
    else this.#settle({ reason: protocolError(`a frame of type ${quoteForHumans(type)}`) });
  }

  #takeReady(type: string): void {
    if (type !== 'ready') throw protocolError(`${quoteForHumans(type)} before it was ready`);
    this.#isReady = true;
    const files = (this.#options.files ?? []).map(({ byteLength }) => ({ byteLength }));
    this.#say({ type: 'request', name: this.#request.name, params: this.#request.params, files });
  }

  #takePart(part: unknown): void {
    const { onPart } = this.#options;
    if (onPart === undefined) throw protocolError('a part of an answer that has none');
    this.#onPartHeard();
    onPart(part);
  }

  /** An error of the policy is the worker's to hear; the image may be readable without that file. */
  #reply(answer: Promise<readonly [ClientFrame, Uint8Array?]>): void {
    this.#isAnswering = true;
    this.#answered = this.#sendReply(answer).catch((error: unknown) => this.#settle({ reason: error }));
  }

  async #sendReply(answer: Promise<readonly [ClientFrame, Uint8Array?]>): Promise<void> {
    const [message, data] = await answer.catch((error: unknown): readonly [ClientFrame] => {
      const known = asPlimsollError(error, 'read a file that the image names');
      if (known.kind === 'bug' || known.code === 'WORKER_FILES') this.#settle({ reason: known });
      return [{ type: 'error', error: known.toJSON() }];
    });
    this.#isAnswering = false;
    this.#say(message, data);
  }

  async #grant(role: unknown, name: Uint8Array): Promise<readonly [ClientFrame]> {
    if (typeof role !== 'string' || role.length > MAX_ROLE_LENGTH) throw protocolError('a file request without a role');
    if (this.#granted.length >= MAX_GRANTED_FILES) throw this.#over('WORKER_FILES', `${MAX_GRANTED_FILES} files`);
    const file = await (this.#options.onFileRequest ?? refuseAll)({ name: Uint8Array.from(name), role });
    this.#granted.push(file);
    // It was opened after all was over: the list has been closed already, or is about to be.
    if (this.#verdict !== undefined) await file.close();
    return [{ type: 'file', file: this.#granted.length - 1, byteLength: file.device.byteLength }];
  }

  async #readFor({ file, offset, length }: Record<string, unknown>): Promise<readonly [ClientFrame, Uint8Array]> {
    const granted = typeof file === 'number' ? this.#granted[file] : undefined;
    if (granted === undefined || !isCount(offset) || !isCount(length) || length > MAX_DATA_BYTES)
      throw protocolError('a read out of bounds');
    const { device } = granted;
    const data = await readUpTo(device, offset, length);
    return [{ type: 'bytes' }, data];
  }

  #say(message: ClientFrame, data?: Uint8Array): void {
    if (this.#verdict === undefined) this.#jailed.channel.write(encodeFrame(message, data));
  }

  /** Why it ended without being told to. */
  #obituary({ code, signal }: JailEnd): PlimsollError {
    const lines = this.#complaints.trim().split('\n');
    if (!this.#isReady && lines[0]?.startsWith('bwrap: ') === true) return wallRefused(lines[0]);
    const ended = signal ?? signalOf(code);
    if (ended === 'SIGXCPU') return this.#over('WORKER_CPU', `${this.#limits.cpuSeconds} s of processor time`);
    if (OUT_OF_MEMORY.test(this.#complaints)) return this.#over('WORKER_MEMORY', `${this.#limits.memoryBytes} bytes of memory`);
    if (ended !== undefined && FROM_OUTSIDE.has(ended)) return this.#died('io', 'WORKER_KILLED', `was killed by ${ended}`);
    if (code === 0) return this.#died('bug', 'WORKER_ENDED', 'ended without an answer');
    const said = lines.find((line) => /^\w*Error\b/.test(line)) ?? lines[0] ?? '';
    return this.#died('bug', 'WORKER_CRASHED', `ended by ${ended ?? `exit code ${code}`}${said === '' ? '' : `: ${said}`}`);
  }

  #over(code: 'WORKER_TIME' | 'WORKER_CPU' | 'WORKER_MEMORY' | 'WORKER_OUTPUT' | 'WORKER_FILES', limit: string): PlimsollError {
    return new PlimsollError('over-budget', code, {
      doing: 'read image',
      image: this.#image(),
      found: 'more than it may cost',
      expected: `at most ${limit}`,
    });
  }

  #died(kind: 'io' | 'bug', code: 'WORKER_KILLED' | 'WORKER_ENDED' | 'WORKER_CRASHED', found: string): PlimsollError {
    return new PlimsollError(kind, code, { doing: 'read image', image: this.#image(), found: `the confined reader ${found}` });
  }

  /** The worker is dead or hangs in the kernel, and nobody has said why. */
  #internal(): PlimsollError {
    return this.#died('bug', 'WORKER_ENDED', 'ended without a verdict');
  }

  #image(): string {
    return this.#options.image ?? 'image';
  }
}

/** V8 and Node say it in many ways; nothing but the wording of the error depends on it. */
const OUT_OF_MEMORY = /out of memory|out-of-memory|Allocation failed|bad_alloc|Fatal process OOM/i;
/** The kernel's memory killer, an administrator, the end of the session. */
const FROM_OUTSIDE: ReadonlySet<string> = new Set(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP']);
/** Signals by number, on Linux but alpha, mips, parisc and sparc; bubblewrap adds 128. Source: asm-generic/signal.h */
const SIGNALS: Readonly<Record<number, string>> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  4: 'SIGILL',
  5: 'SIGTRAP',
  6: 'SIGABRT',
  7: 'SIGBUS',
  8: 'SIGFPE',
  9: 'SIGKILL',
  11: 'SIGSEGV',
  15: 'SIGTERM',
  24: 'SIGXCPU',
  31: 'SIGSYS',
};

function signalOf(code: number | null): string | undefined {
  return code === null ? undefined : SIGNALS[code - 128];
}

/** Keeps no process alive. */
function afterwards(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function wallRefused(complaint: string): PlimsollError {
  return new PlimsollError('unsupported', 'SANDBOX_UNAVAILABLE', {
    doing: 'confine the reader of the image',
    found: complaint,
    expected: 'user namespaces for this user, and bubblewrap 0.4 or newer; or --unconfined to read the image without a wall',
  });
}
