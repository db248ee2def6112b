/**
 * `create` asks first, where a daemon watches the store: the space is held while the image is made, and let go when it is
 * there, for then it is counted itself. Whoever has no daemon, or one that is stuck, can make images all the same.
 */
import { randomUUID } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { escapeForTerminal, PlimsollError } from '#base';
import { commitmentOfNew, type CreateOptions } from '#create';
import { filesystemOf } from '#host';
import type { AdmissionDecision } from '#wire';
import { DaemonClient, socketPath } from './daemon-client.ts';
import type { Session } from './session.ts';

/** A stuck daemon must not keep anybody from making an image. */
const ANSWER_MS = 2000;
/** If `create` dies, the space is free again after this; writing everything can take a day. */
const TTL_SECONDS = 900;
const LONG_TTL_SECONDS = 86_400;

export interface CreateWish {
  readonly path: string;
  readonly options: CreateOptions;
  readonly overcommit: boolean;
  readonly socket: string | undefined;
}

export class CreateAdmission {
  readonly #wish: CreateWish;
  readonly #session: Session;
  readonly #client: DaemonClient;
  readonly #key = `create:${randomUUID()}`;
  #mayBeHeld = false;
  #refusal: AdmissionDecision | undefined;

  constructor(wish: CreateWish, session: Session) {
    this.#wish = wish;
    this.#session = session;
    this.#client = new DaemonClient(socketPath(wish.socket), ANSWER_MS);
  }

  /** What the daemon said, where it said no, or that it could not tell. */
  get refusal(): AdmissionDecision | undefined {
    return this.#refusal;
  }

  /** Throws: conflict, DOES_NOT_FIT; `refusal` then holds the sum. */
  async ask(capacity: number): Promise<void> {
    const decision = await this.#reserve(capacity);
    if (decision === undefined) return;
    if (decision.reservation === null) {
      this.#refusal = decision;
      throw new PlimsollError('conflict', 'DOES_NOT_FIT', { doing: 'create image' }, decision.message);
    }
    if (decision.admitted !== true) this.#session.warn(`plimsoll: overcommitted: ${escapeForTerminal(decision.message)}`);
  }

  /** Lets go of what is held; the image, if it was made, is counted by itself. */
  async end(): Promise<void> {
    if (!this.#mayBeHeld) return;
    // It may have been met by the image already, or the daemon may be gone: then the time to live ends it.
    await this.#client.release(this.#key).catch(() => undefined);
  }

  async #reserve(capacity: number): Promise<AdmissionDecision | undefined> {
    const { path, options, overcommit } = this.#wish;
    const target = resolve(path);
    // Where nothing can be made, making it says why.
    const filesystem = await filesystemOf(dirname(target)).catch(() => undefined);
    const place = filesystem === undefined ? undefined : { filesystemType: filesystem.type, isOwn: true };
    const preallocation = options.format === 'raw' ? options.preallocation : options.qcow2.preallocation;
    const request = {
      store: dirname(target),
      bytes: commitmentOfNew(options.format, capacity, options, place),
      key: this.#key,
      ttlSeconds: preallocation === 'full' ? LONG_TTL_SECONDS : TTL_SECONDS,
      path: target,
      ...(overcommit ? { overcommit } : {}),
    };
    try {
      const decision = await this.#client.reserve(request);
      this.#mayBeHeld = decision.reservation !== null;
      return decision;
    } catch (error) {
      return this.#passOver(error);
    }
  }

  /** No daemon, or none that watches this store: as if there were none. Anything else is said, and nobody is kept waiting. */
  #passOver(error: unknown): undefined {
    if (!(error instanceof PlimsollError)) throw error;
    if (error.code === 'DAEMON_ABSENT' || error.code === 'STORE_UNKNOWN') return;
    // A late answer may still hold the space.
    this.#mayBeHeld = error.code === 'DAEMON_SILENT';
    this.#session.warn(`plimsoll: not known whether it fits: ${escapeForTerminal(error.message)}`);
  }
}
