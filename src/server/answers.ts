/** The responses of a route, for the OpenAPI document. */
import type { TSchema } from 'typebox';
import { ApiErrorSchema } from '#wire/schemas';

/** A phrase for each status that is an error. */
const ERRORS: Readonly<Record<number, string>> = {
  400: 'The request does not match its schema',
  401: 'Missing or invalid token',
  403: 'Cross-site request',
  404: 'Store, image or reservation not found',
  409: 'Conflict with the current state',
  413: 'Request body too large, or limit of reservations reached',
  415: 'Not JSON',
  421: 'Host header of another site',
  422: 'Malformed content',
  500: 'A bug in plimsoll',
  503: 'Temporarily unavailable',
};

/** How every route can fail. */
const ALWAYS: readonly number[] = [400, 401, 403, 421, 500, 503];

export interface Answers {
  readonly summary: string;
  readonly response: Record<number, TSchema>;
}

/** `summary` and what the route answers: 200 with `body`, and errors. */
export function answers(summary: string, body: TSchema, ...errors: readonly number[]): Answers {
  return { summary, response: { 200: described(body, summary), ...errorAnswers(errors) } };
}

export function errorAnswers(errors: readonly number[]): Record<number, TSchema> {
  return Object.fromEntries([...ALWAYS, ...errors].map((status) => [status, described(ApiErrorSchema, ERRORS[status] ?? 'Error')]));
}

/** The same schema under another description: what an answer means is said where it is given. */
export function described<S extends TSchema>(schema: S, description: string): S {
  return { ...schema, description };
}
