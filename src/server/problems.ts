/** Error responses: every thrown value becomes a status and `{error}`, without internal details. */
import { asPlimsollError, PlimsollError } from '#base';
import { type ApiError, httpStatusOf } from '#wire';

export interface Problem {
  readonly status: number;
  readonly body: ApiError;
  /** Ours, not the client's: to be logged in full. */
  readonly isInternal: boolean;
}

const DOING = 'answer the request';

/** An error thrown by Fastify itself. */
interface FastifyProblem {
  readonly statusCode?: number;
  readonly message: string;
}

/** The response for `thrown`. A bug is reported without details. */
export function problemOf(thrown: unknown): Problem {
  const error = isFastifyProblem(thrown) ? ofFastify(thrown) : asPlimsollError(thrown, DOING);
  const isInternal = error.kind === 'bug' || error.kind === 'io';
  const told =
    error.kind === 'bug' ? new PlimsollError('bug', 'INTERNAL', { doing: DOING, found: 'an internal error, see the log' }) : error;
  return { status: httpStatusOf(told), body: { error: told.toJSON() }, isInternal };
}

function isFastifyProblem(thrown: unknown): thrown is FastifyProblem {
  return thrown instanceof Error && String((thrown as { code?: unknown }).code).startsWith('FST_');
}

function ofFastify({ statusCode = 500, message }: FastifyProblem): PlimsollError {
  const doing = 'parse request';
  if (statusCode === 413)
    return new PlimsollError('over-budget', 'BODY_TOO_LARGE', { doing, found: 'a body that is too large', expected: 'at most 64 KiB' });
  if (statusCode === 415) return contentType('another type');
  if (statusCode < 500)
    return new PlimsollError('usage', 'REQUEST_INVALID', { doing, found: message, expected: 'what /api/v1/openapi.json describes' });
  return new PlimsollError('bug', 'INTERNAL', { doing: DOING, found: message });
}

function contentType(found: string): PlimsollError {
  return new PlimsollError('usage', 'CONTENT_TYPE', {
    doing: 'parse request',
    field: 'Content-Type',
    found,
    expected: 'Content-Type: application/json (required even without a body)',
  });
}

export function noSuchRoute(method: string, path: string): PlimsollError {
  return new PlimsollError('not-found', 'ROUTE_UNKNOWN', {
    doing: DOING,
    found: `${method} ${path}`,
    expected: 'a route of /api/v1/openapi.json',
  });
}

/** Throws: usage, CONTENT_TYPE: a request with a body must declare JSON, which no form of another site can. */
export function requireJson(contentTypeHeader: string | undefined): void {
  if (!/^application\/json\s*(;|$)/i.test(contentTypeHeader ?? '')) throw contentType(contentTypeHeader?.slice(0, 100) ?? 'missing');
}
