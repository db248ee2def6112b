/** Parts that several shapes of the API share. */
import { type TObject, type TProperties, type TSchema, Type } from 'typebox';
import { ASSUMPTIONS, ERROR_KINDS } from '#base';
import { COMPONENT_CODES } from '../components.ts';
import { POLICIES } from '../serve-reports.ts';

/** An object that the OpenAPI document lists under `title`. */
export function shape<P extends TProperties>(title: string, properties: P): TObject<P> {
  return Type.Object(properties, { title });
}

/** `schema` with a description, which documents, OpenAPI and types show. */
export function described<S extends TSchema>(description: string, schema: S): S {
  const properties = { ...Object.getOwnPropertyDescriptors(schema), description: { value: description, enumerable: true } };
  return Object.create(Object.getPrototypeOf(schema) as object, properties) as S;
}

export function nullable<S extends TSchema>(schema: S) {
  return Type.Union([schema, Type.Null()]);
}

export const Bytes = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/** Sums and their remainders can be below zero. */
export const SignedBytes = Type.Integer({ minimum: -Number.MAX_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER });

export const Seconds = Type.Number();

export const Count = Type.Integer({ minimum: 0 });

export const Time = Type.String({ format: 'date-time' });

const CODE = '^[A-Z][A-Z0-9_]*$';

// Apart from their messages: a test takes the two together for an error that is made.
const ERROR_CODE = { code: Type.String({ pattern: CODE, description: 'listed in docs/errors.md; never changes its meaning' }) };

const FINDING_CODE = { code: Type.String({ pattern: CODE, description: 'listed in docs/findings.md; never changes its meaning' }) };

export const ErrorSchema = shape('Error', {
  kind: Type.Enum([...ERROR_KINDS]),
  ...ERROR_CODE,
  message: Type.String(),
  field: Type.Optional(Type.String()),
  at: Type.Optional(Type.Number()),
  found: Type.Optional(Type.Union([Type.String(), Type.Number(), Type.Boolean()])),
  expected: Type.Optional(Type.Union([Type.String(), Type.Number(), Type.Boolean()])),
});

export const ApiErrorSchema = shape('ApiError', { error: ErrorSchema });

export const FindingSchema = shape('Finding', {
  level: Type.Enum(['info', 'warning', 'critical']),
  ...FINDING_CODE,
  message: Type.String(),
});

export const ComponentSchema = shape('Component', {
  code: Type.Enum([...COMPONENT_CODES], { description: 'listed in docs/json.md; never changes its meaning' }),
  name: described('For people; can carry a detail in parentheses.', Type.String()),
  bytes: described('Signed: subtracted bytes are negative.', SignedBytes),
  explanation: Type.Optional(Type.String()),
});

export const HostSchema = shape('Host', {
  id: described(
    'Stable across boots and addresses; null: unknown, for the reason in `unknown`.',
    nullable(Type.String({ description: 'configured, or derived from the machine id, which it does not reveal' })),
  ),
  source: nullable(Type.Enum(['configured', 'machine-id'])),
  unknown: nullable(Type.String()),
});

/** In parts of a report. */
export const HostId = nullable(Type.String({ description: 'id of the host that reports; null: unknown' }));

export const PolicySchema = Type.Enum([...POLICIES]);

export const Assumptions = Type.Array(Type.Enum([...ASSUMPTIONS]), {
  maxItems: 8,
  description: "the administrator's declarations about the storage below",
});
