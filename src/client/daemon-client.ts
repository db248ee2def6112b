/**
 * Queries the daemon over its Unix socket: plain HTTP, answers bounded in size and time, from a listener that is trusted.
 *
 * Only a socket file that does not exist means that there is no daemon. Everything else that goes wrong leaves the question
 * open, and a caller must not go on as if there were no daemon.
 */
import { existsSync, statSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { PlimsollError } from '#base';
import { trustOfSocket } from '#host';
import type { AdmissionDecision, AdmissionRequest, ApiError, Reservation, ReservationRequest, StatusReport } from '#wire';
import { isDecision, isReservation, isStatus } from './daemon-answers.ts';

const SYSTEM_SOCKET = '/run/plimsoll/plimsoll.sock';
const SOCKET_NAME = join('plimsoll', 'plimsoll.sock');
const MAX_ANSWER_LENGTH = 64 * 1024 * 1024;
/** A decision may wait for a scan of the store. */
const PATIENT_MS = 35_000;

/** Where a daemon is looked for: --socket, $PLIMSOLL_SOCKET, the user's own, the system's. */
export function socketPath(given: string | undefined, env: NodeJS.ProcessEnv = process.env): string {
  const told = given ?? env['PLIMSOLL_SOCKET'];
  if (told !== undefined && told !== '') return told;
  const own = env['XDG_RUNTIME_DIR'];
  const ownSocket = own === undefined || own === '' ? undefined : join(own, SOCKET_NAME);
  return ownSocket !== undefined && existsSync(ownSocket) ? ownSocket : SYSTEM_SOCKET;
}

interface Answer {
  readonly status: number;
  readonly body: object;
}

const DOING = 'query the daemon';
/** From this HTTP status on, the daemon reports that it cannot answer. */
const SERVER_ERROR = 500;

/**
 * Throws, in each method:
 * - not-found, DAEMON_ABSENT: no socket file;
 * - busy, DAEMON_STOPPED: a socket file on which no process listens; DAEMON_SILENT: no answer in time; DAEMON_FAILED: the
 *   daemon reports that it cannot answer;
 * - io, DAEMON_LOST: the connection ended early; DAEMON_FORBIDDEN: the caller may not connect;
 * - refused, DAEMON_UNTRUSTED: the listener is not believed;
 * - unsupported, DAEMON_ANSWER: the answer does not have the shape of this version;
 * - and what the daemon itself throws.
 */
export class DaemonClient {
  readonly #path: string;
  readonly #timeoutMs: number;

  constructor(path: string, timeoutMs = PATIENT_MS) {
    this.#path = path;
    this.#timeoutMs = timeoutMs;
  }

  async status(): Promise<StatusReport> {
    return requireShape(await this.#ask('GET', '/status'), isStatus);
  }

  async admit(asked: AdmissionRequest): Promise<AdmissionDecision> {
    return requireShape(await this.#ask('POST', '/admission/check', asked), isDecisionOn(asked));
  }

  /** The decision, without a reservation where it was refused. */
  async reserve(asked: ReservationRequest): Promise<AdmissionDecision> {
    const { status, body } = await this.#exchange('POST', '/admission/reserve', asked);
    const isRefusal = status === 409 && 'decision' in body;
    const decision = requireShape(isRefusal ? body.decision : good({ status, body }), isDecisionOn(asked));
    const { reservation, admitted } = decision;
    // Held is what this request asked for, and nothing that was refused.
    const isOwn = reservation?.key === asked.key && reservation.state === 'held';
    const isAllowed = admitted === true || asked.overcommit === true;
    if (isRefusal ? reservation !== null : !isOwn || !isAllowed) throw malformed('an inconsistent decision');
    return decision;
  }

  async release(key: string): Promise<Reservation> {
    return requireShape(await this.#ask('DELETE', `/reservations/${encodeURIComponent(key)}`), isReservation);
  }

  async #ask(method: string, path: string, body?: object): Promise<unknown> {
    return good(await this.#exchange(method, path, body));
  }

  async #exchange(method: string, path: string, body?: object): Promise<Answer> {
    const signal = AbortSignal.timeout(this.#timeoutMs);
    try {
      const connection = await connectTo(this.#path, signal);
      try {
        await this.#requireTrust(connection);
        return await exchange(connection, { method, path: `/api/v1${path}`, body, signal });
      } finally {
        connection.destroy();
      }
    } catch (error) {
      throw signal.aborted ? this.#silent() : this.#unreachable(error);
    }
  }

  async #requireTrust(connection: Socket): Promise<void> {
    const { isTrusted, found } = await trustOfSocket(connection, this.#path);
    if (isTrusted) return;
    throw new PlimsollError('refused', 'DAEMON_UNTRUSTED', {
      doing: DOING,
      image: this.#path,
      found,
      expected: 'a daemon of root, of the caller, or of the owner of its directory below /run',
    });
  }

  #silent(): PlimsollError {
    return new PlimsollError('busy', 'DAEMON_SILENT', {
      doing: DOING,
      image: this.#path,
      found: `no answer within ${this.#timeoutMs / 1000} s`,
      expected: 'a responding daemon',
    });
  }

  #unreachable(error: unknown): unknown {
    if (error instanceof PlimsollError) return error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined || code.startsWith('HPE_')) return malformed('an answer that is not HTTP');
    const where = { doing: DOING, image: this.#path };
    if (code === 'ENOENT' || code === 'ENOTDIR' || (code === 'ECONNREFUSED' && !isSocketFile(this.#path))) {
      const expected = 'a running plimsoll serve (set the socket with --socket or PLIMSOLL_SOCKET)';
      return new PlimsollError('not-found', 'DAEMON_ABSENT', { ...where, found: 'no daemon is listening', expected });
    }
    if (code === 'ECONNREFUSED') {
      const found = 'a socket without a listener: the daemon has died or is starting';
      const expected = 'a running plimsoll serve; if no daemon is wanted, remove the socket';
      return new PlimsollError('busy', 'DAEMON_STOPPED', { ...where, found, expected });
    }
    if (code === 'EACCES' || code === 'EPERM') {
      const expected = 'root or a member of the group of the socket';
      return new PlimsollError('io', 'DAEMON_FORBIDDEN', { ...where, found: 'permission denied', expected });
    }
    return new PlimsollError('io', 'DAEMON_LOST', {
      ...where,
      found: `no answer (${code})`,
      expected: 'a responding daemon',
      cause: error,
    });
  }
}

function isSocketFile(path: string): boolean {
  try {
    return statSync(path).isSocket();
  } catch {
    return true; // It exists, since the connection was refused, and cannot be examined.
  }
}

function connectTo(path: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, signal });
    socket.on('error', reject);
    socket.once('connect', () => resolve(socket));
  });
}

interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly body: object | undefined;
  readonly signal: AbortSignal;
}

function exchange(connection: Socket, { method, path, body, signal }: Exchange): Promise<Answer> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const headers = text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    const asked = request({ createConnection: () => connection, path, method, headers, signal }, (response) => {
      readAnswer(response).then(resolve, reject);
    });
    asked.on('error', reject);
    asked.end(text);
  });
}

async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let byteLength = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    byteLength += chunk.length;
    if (byteLength > MAX_ANSWER_LENGTH) throw malformed('an answer of more than 64 MiB');
    chunks.push(chunk);
  }
  try {
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString());
    if (typeof body === 'object' && body !== null) return { status: response.statusCode ?? 0, body };
  } catch {
    // Falls through: whatever it is, the API does not answer so.
  }
  throw malformed('an answer that is not a JSON object');
}

/** The body of a good answer; an error is thrown as it was thrown there, unless the daemon reports that it cannot answer. */
function good({ status, body }: Answer): unknown {
  if (status >= 200 && status < 300) return body;
  const { error } = body as Partial<ApiError>;
  if (typeof error?.kind !== 'string' || typeof error.code !== 'string' || typeof error.message !== 'string') {
    throw malformed(`status ${status} without an error`);
  }
  const { kind, code, message } = error;
  if (status >= SERVER_ERROR)
    throw new PlimsollError('busy', 'DAEMON_FAILED', { doing: DOING }, `The daemon cannot answer: ${message} [${code}]`);
  if (!KINDS.has(kind)) throw malformed(`an error of kind ${kind}`);
  throw new PlimsollError(kind, code, { doing: DOING }, message);
}

/** Of errors that a client brings about. */
const KINDS: ReadonlySet<string> = new Set(['usage', 'not-found', 'corrupt', 'unsupported', 'refused', 'over-budget', 'conflict']);

function isDecisionOn({ bytes }: AdmissionRequest): (value: unknown) => value is AdmissionDecision {
  return (value): value is AdmissionDecision => isDecision(value) && (bytes === undefined || value.bytes === bytes);
}

function requireShape<T>(value: unknown, isShape: (value: unknown) => value is T): T {
  if (isShape(value)) return value;
  throw malformed('a malformed answer');
}

function malformed(found: string): PlimsollError {
  return new PlimsollError('unsupported', 'DAEMON_ANSWER', { doing: DOING, found, expected: 'a plimsoll of this version' });
}
