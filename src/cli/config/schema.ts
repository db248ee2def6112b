/** The JSON Schema of the configuration, generated from the table of keys. */
import { HOST_ID_PATTERN } from '#base';
import { type Keys, TABLES, type ValueKind } from './keys.ts';

type Json = Readonly<Record<string, unknown>>;

export function configSchema(): Json {
  const table = (name: string, inner: Json = {}, required: readonly string[] = []): Json => ({
    type: 'object',
    additionalProperties: false,
    ...(required.length === 0 ? {} : { required }),
    properties: { ...propertiesOf(TABLES[name] ?? {}), ...inner },
  });
  const levels = (name: string): Json => ({ warning: table(`${name}.warning`), critical: table(`${name}.critical`) });
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'The configuration of plimsoll serve (TOML)',
    type: 'object',
    additionalProperties: false,
    properties: {
      serve: table('serve'),
      rules: table('rules', levels('rules')),
      store: { type: 'array', items: table('store', levels('store'), ['directories']) },
    },
  };
}

function propertiesOf(keys: Keys): Json {
  return Object.fromEntries(
    Object.entries(keys).map(([name, { kind, means, default: fallback }]) => [
      name,
      { description: `${means}; default: ${fallback}`, ...schemaOf(kind) },
    ]),
  );
}

const SIZE = { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?\\s*([bB]|[kmgtpeKMGTPE](i[bB])?)?$' };
const DURATION = { type: 'string', pattern: '^([0-9.]+[wdhmsWDHMS])+$' };
const PATH = { type: 'string', pattern: '^/' };
const OFF = { const: 'off' };

function schemaOf(kind: ValueKind): Json {
  const schemas: Readonly<Record<ValueKind['is'], Json>> = {
    size: { anyOf: [SIZE, { type: 'integer', minimum: 0 }] },
    duration: DURATION,
    percent: { type: 'number', minimum: 0, maximum: 100 },
    share: { type: 'number', minimum: 0, maximum: 1 },
    path: PATH,
    paths: { type: 'array', items: PATH },
    patterns: { type: 'array', items: { type: 'string', minLength: 1 } },
    address: { type: 'string' },
    name: { type: 'string', pattern: HOST_ID_PATTERN.source },
    choices: { type: 'array', items: { enum: kind.is === 'choices' ? kind.of : [] } },
    choice: { enum: kind.is === 'choice' ? kind.of : [] },
  };
  const schema = schemas[kind.is];
  return 'orOff' in kind ? { anyOf: [schema, OFF] } : schema;
}
