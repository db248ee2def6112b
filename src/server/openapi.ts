/** The OpenAPI 3.1 document, generated from the schemas that validate requests. */
import fastifySwagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';

export const OPENAPI_PATH = '/api/v1/openapi.json';

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type JsonObject = { readonly [key: string]: Json };

/** Before the routes: it listens to them being added. */
export async function addOpenApi(app: FastifyInstance, version: string): Promise<void> {
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'plimsoll',
        version,
        description: 'The load line of virtualization stores. Bytes are numbers, times are ISO 8601 in UTC, unknown values are null.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{}, { token: [] }],
    },
  });
  let document: Json | undefined;
  app.get(OPENAPI_PATH, { schema: { hide: true } }, () => {
    document ??= withComponents(app.swagger() as unknown as JsonObject);
    return document;
  });
}

/** Schemas with a title appear once, under `components`, and are referenced everywhere else. */
function withComponents(document: JsonObject): Json {
  const components: Record<string, Json> = {};
  const lifted = lift(document['paths'] ?? {}, components);
  const others = (document['components'] ?? {}) as JsonObject;
  return { ...document, paths: lifted, components: { ...others, schemas: components } };
}

function lift(value: Json, components: Record<string, Json>): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map((one) => lift(one, components));
  if (typeof value !== 'object' || value === null) return value;
  const { title, ...rest } = value as JsonObject;
  const isNamed = typeof title === 'string' && ('type' in rest || 'anyOf' in rest);
  const entries = Object.entries(isNamed ? rest : value).map(([key, one]) => [key, lift(one, components)] as const);
  if (!isNamed) return Object.fromEntries(entries);
  components[title] = Object.fromEntries(entries.filter(([key]) => key !== 'description' || title.endsWith('Request')));
  return { $ref: `#/components/schemas/${title}` };
}
