/** What a route says of its answers: for the OpenAPI document. */
import type { TSchema } from 'typebox';
import { ApiErrorSchema } from '#wire/schemas';

/** A phrase for each status that is an error. */
const ERRORS: Readonly<Record<number, string>> = {
  400: 'The request is not as its schema says',
  401: 'No token, or a wrong one',
  403: 'A page of another site',
  404: 'No such store, image or reservation',
  409: 'In conflict with what is',
  413: 'Too large a body, or too much held already',
  415: 'Not JSON',
  421: 'A foreign Host header',
  422: 'What was found there cannot be understood',
  500: 'A bug in plimsoll',
  503: 'Not now',
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
