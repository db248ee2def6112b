/** Judges what a request carries by its schema; nothing is cut off or bent into shape, save texts in an address. */
import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { PlimsollError } from '#base';

interface Complaint {
  readonly instancePath: string;
  readonly message: string;
}

/** For Fastify: in an address everything is text, so `5` and `true` there may be a number and a truth. */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const compiled = Compile(schema);
  return (given: unknown) => {
    const value = httpPart === 'body' ? given : typed(schema, given as Readonly<Record<string, unknown>>);
    if (compiled.Check(value)) return { value };
    return { error: invalid(httpPart ?? 'body', compiled.Errors(value)) };
  };
};

/** The texts of an address as their schemas want them, as far as they can be that; what is missing as it is when left out. */
function typed(schema: TSchema, given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { properties } = schema as { properties?: Readonly<Record<string, { type?: string; default?: unknown }>> };
  const value: Record<string, unknown> = { ...given };
  for (const [name, { type, default: fallback }] of Object.entries(properties ?? {})) {
    const text = value[name];
    if (text === undefined && fallback !== undefined) value[name] = fallback;
    else if (typeof text !== 'string') continue;
    else if (type === 'integer' && /^-?\d{1,16}$/.test(text)) value[name] = Number(text);
    else if (type === 'boolean' && /^(true|false)$/.test(text)) value[name] = text === 'true';
  }
  return value;
}

const PLACES: Readonly<Record<string, string>> = { querystring: 'query', params: 'path' };

/** Only the first error is reported; the schema of the route documents the rest. */
function invalid(part: string, [first]: readonly Complaint[]): PlimsollError {
  const doing = 'parse request';
  const field = `${PLACES[part] ?? part}${first?.instancePath ?? ''}`;
  const complaint = first === undefined || first.message === 'schema is false' ? 'must not be present' : first.message;
  const message = `Cannot ${doing}: ${field} ${complaint}`;
  return new PlimsollError('usage', 'REQUEST_INVALID', { doing, field, expected: 'what /api/v1/openapi.json describes' }, message);
}
