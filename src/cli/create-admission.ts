/**
 * Admission for `create`: reserves the space through the daemon while the image is created, and releases it afterwards,
 * when the image counts by itself. Without a daemon, or on a store that is not monitored, the image is created without a
 * check. If the daemon does not answer, nothing is created, unless the caller overcommits.
 */
import { randomUUID } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { type Assumption, escapeForTerminal, PlimsollError } from '#base';
import { commitmentOfNew, type CreateOptions } from '#create';
import { filesystemOf, storageRulesOf } from '#host';
import type { AdmissionDecision } from '#wire';
import { DaemonClient, socketPath } from '#client';
import type { Session } from './session.ts';

/** Milliseconds until the daemon must have answered; it may scan the store first. */
const ANSWER_MS = 10_000;
/** Milliseconds for the release of a reservation; if it fails, the reservation expires. */
const RELEASE_MS = 2000;
/** If `create` dies, the space is free again after this; writing everything can take a day. */
const TTL_SECONDS = 900;
const LONG_TTL_SECONDS = 86_400;

export interface CreateWish {
  readonly path: string;
  readonly options: CreateOptions;
  readonly overcommit: boolean;
  readonly assume: readonly Assumption[];
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

  /** The daemon's answer, if it was a no or unknown. */
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

  /** Releases the reservation; an image that was created counts by itself. */
  async end(): Promise<void> {
    if (!this.#mayBeHeld) return;
    // The image may already have fulfilled it, or the daemon may have stopped: then the reservation expires.
    await new DaemonClient(socketPath(this.#wish.socket), RELEASE_MS).release(this.#key).catch(() => undefined);
  }

  async #reserve(capacity: number): Promise<AdmissionDecision | undefined> {
    const { path, options, overcommit, assume } = this.#wish;
    const target = resolve(path);
    // If the image cannot be created, creating it reports the reason.
    const filesystem = await filesystemOf(dirname(target)).catch(() => undefined);
    const place = filesystem === undefined ? undefined : { rules: storageRulesOf(filesystem), isOwn: true };
    const preallocation = options.format === 'raw' ? options.preallocation : options.qcow2.preallocation;
    const request = {
      store: dirname(target),
      bytes: commitmentOfNew(options.format, capacity, options, place),
      key: this.#key,
      ttlSeconds: preallocation === 'full' ? LONG_TTL_SECONDS : TTL_SECONDS,
      path: target,
      ...(overcommit ? { overcommit } : {}),
      ...(assume.length > 0 ? { assume } : {}),
    };
    try {
      const decision = await this.#client.reserve(request);
      this.#mayBeHeld = decision.reservation !== null;
      return decision;
    } catch (error) {
      return this.#passOver(error);
    }
  }

  /**
   * Returns where no daemon watches this store, and where the caller overcommits.
   *
   * Throws: conflict, IMAGE_THERE and others, as the daemon answers; busy, FIT_UNANSWERED, where it does not answer.
   */
  #passOver(error: unknown): undefined {
    if (!(error instanceof PlimsollError)) throw error;
    if (error.code === 'DAEMON_ABSENT' || error.code === 'STORE_UNKNOWN') return;
    // The response may be lost although the space is reserved.
    this.#mayBeHeld = error.code === 'DAEMON_SILENT' || error.code === 'DAEMON_LOST';
    if (this.#wish.overcommit) {
      this.#session.warn(`plimsoll: overcommitted: unknown whether it fits: ${escapeForTerminal(error.message)}`);
      return;
    }
    if (error.kind === 'conflict') throw error;
    const message = `Cannot create image: unknown whether it fits, so nothing was created (--overcommit creates it anyway). ${error.message}`;
    throw new PlimsollError('busy', 'FIT_UNANSWERED', { doing: 'create image', cause: error }, message);
  }
}
