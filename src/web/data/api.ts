/** The HTTP API as functions. Every failure is a `Failure` with a sentence to display. */
import type { ApiError } from '#wire';
import { keptToken } from './token.ts';

const BASE = new URL('api/v1/', document.baseURI);

/** Why a request failed. */
export class Failure extends Error {
  override readonly name = 'Failure';
  /** HTTP status, 0 without a response. */
  readonly status: number;
  readonly code: string | null;

  constructor(status: number, code: string | null, message: string, cause?: unknown) {
    super(message, { cause });
    this.status = status;
    this.code = code;
  }
}

/**
 * Requests `path`, below the API's root, and returns the response if its status is a success.
 *
 * Throws: Failure; AbortError when `signal` aborts.
 */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const token = keptToken();
  if (token !== null) headers.set('authorization', `Bearer ${token}`);
  let response: Response;
  try {
    response = await fetch(new URL(path, BASE), { ...init, headers, cache: 'no-store' });
  } catch (error) {
    if (init.signal?.aborted === true) throw error;
    throw new Failure(0, null, 'Server unreachable', error);
  }
  if (!response.ok) throw await failureOf(response);
  return response;
}

async function failureOf(response: Response): Promise<Failure> {
  const body = (await response.json().catch(() => null)) as Partial<ApiError> | null;
  const error = body?.error;
  return new Failure(response.status, error?.code ?? null, error?.message ?? `The server returned status ${response.status}`);
}

/** The JSON at `path`. Throws as `request`. */
export async function read<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await request(path, signal === undefined ? {} : { signal });
  return (await response.json()) as T;
}

/** Sends `body`, if any, and returns the JSON of the response. Throws as `request`. */
export async function send<T>(method: 'POST' | 'DELETE', path: string, body?: unknown): Promise<T> {
  const response = await request(path, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  const text = await response.text();
  return (text === '' ? null : JSON.parse(text)) as T;
}
