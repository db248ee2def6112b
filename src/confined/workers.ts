/**
 * Long-lived workers that answer the requests of many images, and are replaced when they end.
 *
 * Each request gets the answer that it would get alone. The errors that a worker can get from its own file (io) and the limit by
 * the clock are final. Any other failure can be the work of the images before it, whose memory and processor time it shares: so
 * the request is repeated as the first of a fresh worker, and what happens there is its own. Requests that were only waiting when
 * a worker ended go to its successor.
 */
import { PlimsollError } from '#base';
import type { Limits } from './limits.ts';
import { type ConfinedRequest, type Outcome, type RequestOptions, WorkerSession } from './session.ts';

export interface WorkersOptions {
  /** Workers at most; each is started when it is needed. */
  readonly count: number;
  readonly limits?: Partial<Limits> | undefined;
  /** Requests that are sent to a worker ahead of its answers. */
  readonly ahead: number;
  /** Requests after which a worker is replaced. */
  readonly requestsPerWorker: number;
  /** The worker's bundle; that of dist/ when left out. */
  readonly worker?: string | undefined;
}

interface Job {
  /** Of arrival. */
  readonly order: number;
  readonly request: ConfinedRequest;
  readonly options: RequestOptions;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

export class ConfinedWorkers {
  readonly #lines: readonly WorkerLine[];
  #isClosed = false;
  #lastOrder = 0;

  constructor(options: WorkersOptions) {
    this.#lines = Array.from({ length: options.count }, () => new WorkerLine(options));
  }

  /** As runConfined, by the worker that has the fewest requests. */
  run(request: ConfinedRequest, options: RequestOptions = {}): Promise<unknown> {
    if (this.#isClosed) return Promise.reject(closedError());
    const line = this.#lines.reduce((best, one) => (one.load < best.load ? one : best));
    this.#lastOrder += 1;
    const order = this.#lastOrder;
    return new Promise((resolve, reject) => {
      line.add({ order, request, options, resolve, reject });
    });
  }

  /** Ends the workers; requests without an answer are rejected. May be called twice. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#lines.map((line) => line.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** One worker after the other, and the requests that wait for it. */
class WorkerLine {
  readonly #options: WorkersOptions;
  /** Not sent yet. */
  readonly #waiting: Job[] = [];
  #session: WorkerSession | undefined;
  #starting: Promise<void> | undefined;
  /** Sent to the session and not settled. */
  #sentCount = 0;
  /** Sent to the session since it began. */
  #usedCount = 0;
  #isClosed = false;

  constructor(options: WorkersOptions) {
    this.#options = options;
  }

  /** Without a worker it counts as one with a full queue: for a few images one worker is enough. */
  get load(): number {
    const pending = this.#waiting.length + this.#sentCount;
    return this.#session === undefined && this.#starting === undefined ? pending + this.#options.ahead - 0.5 : pending;
  }

  add(job: Job): void {
    this.#waiting.push(job);
    this.#pump();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#starting;
    await this.#session?.close();
    for (const job of this.#waiting.splice(0)) job.reject(closedError());
  }

  #pump(): void {
    while (this.#waiting[0]?.options.signal?.aborted === true) {
      const job = this.#waiting.shift();
      job?.reject(job.options.signal?.reason);
    }
    if (this.#isClosed || this.#waiting.length === 0 || this.#starting !== undefined) return;
    const { ahead, requestsPerWorker } = this.#options;
    const session = this.#session;
    const isUsedUp = this.#usedCount >= requestsPerWorker;
    if (session === undefined || !session.isOpen || isUsedUp) {
      // Its last answers are still to come; then this is called again.
      if (this.#sentCount === 0) this.#starting = this.#replace();
      return;
    }
    while (this.#sentCount < ahead && this.#usedCount < requestsPerWorker) {
      const job = this.#waiting.shift();
      if (job === undefined) return;
      this.#send(session, job);
    }
  }

  async #replace(): Promise<void> {
    try {
      await this.#session?.close();
      this.#session = undefined;
      this.#usedCount = 0;
      this.#session = await WorkerSession.start(this.#options);
    } catch (error) {
      this.#waiting.shift()?.reject(error);
    } finally {
      this.#starting = undefined;
    }
    this.#pump();
  }

  #send(session: WorkerSession, job: Job): void {
    this.#sentCount += 1;
    this.#usedCount += 1;
    void this.#exchange(session, job);
  }

  async #exchange(session: WorkerSession, job: Job): Promise<void> {
    const outcome = await session.exchange(job.request, job.options);
    this.#sentCount -= 1;
    this.#settle(job, outcome);
    this.#pump();
  }

  #settle(job: Job, outcome: Outcome): void {
    if (outcome.type === 'value') {
      job.resolve(outcome.value);
      return;
    }
    const { error, isFirst } = outcome;
    const wasWaiting = outcome.type === 'ended' && !outcome.inHand;
    const isFinal = this.#isClosed || job.options.signal?.aborted === true || (!wasWaiting && (isFirst || isOwn(error)));
    if (isFinal) {
      job.reject(error);
      return;
    }
    // The images before it may have filled the memory: no further request goes to this worker.
    if (outcome.type === 'error') this.#usedCount = this.#options.requestsPerWorker;
    const at = this.#waiting.findIndex((one) => one.order > job.order);
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, job);
  }
}

/** Whether no other image can have a part in it. */
function isOwn(error: unknown): boolean {
  return !(error instanceof PlimsollError) || error.kind === 'io' || error.code === 'WORKER_TIME';
}

function closedError(): PlimsollError {
  return new PlimsollError('bug', 'WORKER_ENDED', { doing: 'read image', found: 'the workers were closed', expected: 'open workers' });
}
