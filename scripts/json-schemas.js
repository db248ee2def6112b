/**
 * Writes docs/schemas/*.schema.json from the schemas in src/wire/schemas and from the keys of the configuration; a test compares.
 *
 *   npx tsx --conditions=source scripts/json-schemas.js
 */
import { writeFileSync } from 'node:fs';
import { configSchema } from '../src/cli/config/schema.ts';
import { jsonSchemas } from '../src/wire/schemas/json-schemas.ts';

for (const [name, schema] of Object.entries({ ...jsonSchemas(), config: configSchema() })) {
  writeFileSync(new URL(`../docs/schemas/${name}.schema.json`, import.meta.url), `${JSON.stringify(schema, null, 2)}\n`);
}
