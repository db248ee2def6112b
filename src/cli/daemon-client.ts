/** Asks the daemon over its Unix socket: plain HTTP, answers bounded in size and time. */
import { existsSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { asPlimsollError, PlimsollError } from '#base';
import type {
  AdmissionDecision,
  AdmissionRequest,
  ApiError,
  Reservation,
  ReservationRefusal,
  ReservationRequest,
  StatusReport,
} from '#wire';

const SYSTEM_SOCKET = '/run/plimsoll/plimsoll.sock';
const SOCKET_NAME = join('plimsoll', 'plimsoll.sock');
const LONGEST_ANSWER = 64 * 1024 * 1024;
/** A decision may wait for a look at the store. */
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
  readonly body: unknown;
}

/**
 * Throws, in each method: not-found, DAEMON_ABSENT, when nobody listens; busy, DAEMON_SILENT, when there is no answer in time;
 * unsupported, DAEMON_ANSWER, when what answers is no plimsoll; io; and what the daemon itself throws.
 */
export class DaemonClient {
  readonly #path: string;
  readonly #timeoutMs: number;

  constructor(path: string, timeoutMs = PATIENT_MS) {
    this.#path = path;
    this.#timeoutMs = timeoutMs;
  }

  async status(): Promise<StatusReport> {
    return (await this.#ask('GET', '/status')) as StatusReport;
  }

  async admit(asked: AdmissionRequest): Promise<AdmissionDecision> {
    return (await this.#ask('POST', '/admission/check', asked)) as AdmissionDecision;
  }

  /** The decision, without a reservation where it was refused. */
  async reserve(asked: ReservationRequest): Promise<AdmissionDecision> {
    const { status, body } = await this.#exchange('POST', '/admission/reserve', asked);
    const { decision } = body as Partial<ReservationRefusal>;
    if (status === 409 && decision !== undefined) return decision;
    return good({ status, body }) as AdmissionDecision;
  }

  async release(key: string): Promise<Reservation> {
    return (await this.#ask('DELETE', `/reservations/${encodeURIComponent(key)}`)) as Reservation;
  }

  async #ask(method: string, path: string, body?: object): Promise<unknown> {
    return good(await this.#exchange(method, path, body));
  }

  #exchange(method: string, path: string, body?: object): Promise<Answer> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    return new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(this.#timeoutMs);
      const fail = (error: unknown): void => reject(signal.aborted ? this.#silent() : this.#unreachable(error));
      const asked = request({ socketPath: this.#path, path: `/api/v1${path}`, method, headers, signal, agent: false }, (response) => {
        readAnswer(response).then(resolve, fail);
      });
      asked.on('error', fail);
      asked.end(text);
    });
  }

  #silent(): PlimsollError {
    return new PlimsollError('busy', 'DAEMON_SILENT', {
      doing: 'ask the daemon',
      image: this.#path,
      found: `no answer within ${this.#timeoutMs / 1000} s`,
      expected: 'a daemon that answers',
    });
  }

  #unreachable(error: unknown): unknown {
    if (error instanceof PlimsollError) return error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ECONNREFUSED') {
      return new PlimsollError('not-found', 'DAEMON_ABSENT', {
        doing: 'ask the daemon',
        image: this.#path,
        found: 'nobody listens there',
        expected: 'a running plimsoll serve (--socket or PLIMSOLL_SOCKET names another)',
      });
    }
    if (code === 'EACCES' || code === 'EPERM') {
      return new PlimsollError('io', 'DAEMON_FORBIDDEN', {
        doing: 'ask the daemon',
        image: this.#path,
        found: 'permission denied',
        expected: 'a user of the group that the socket belongs to, or root',
      });
    }
    if (code === undefined || code.startsWith('HPE_')) return noPlimsoll('no HTTP');
    return asPlimsollError(error, 'ask the daemon', this.#path);
  }
}

async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let byteLength = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    byteLength += chunk.length;
    if (byteLength > LONGEST_ANSWER) throw noPlimsoll('an answer of more than 64 MiB');
    chunks.push(chunk);
  }
  try {
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString());
    if (typeof body === 'object' && body !== null) return { status: response.statusCode ?? 0, body };
  } catch {
    // Falls through: whatever it is, it is no answer of the API.
  }
  throw noPlimsoll('an answer that is no JSON object');
}

/** The body of a good answer; an error is thrown as it was thrown there. */
function good({ status, body }: Answer): unknown {
  if (status >= 200 && status < 300) return body;
  const { error } = body as Partial<ApiError>;
  if (typeof error?.kind !== 'string' || typeof error.message !== 'string') throw noPlimsoll(`status ${status} without an error`);
  const { kind, code, message } = error;
  throw new PlimsollError(kind, code, { doing: 'ask the daemon' }, message);
}

function noPlimsoll(found: string): PlimsollError {
  return new PlimsollError('unsupported', 'DAEMON_ANSWER', { doing: 'ask the daemon', found, expected: 'a plimsoll of this version' });
}
