/** The committed documents are those of the schemas. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ROOT } from '../../../tests/support/root.ts';
import { jsonSchemas } from './json-schemas.ts';

it.each(Object.entries(jsonSchemas()))('docs/schemas/%s.schema.json is what scripts/json-schemas.js writes', (name, schema) => {
  expect(JSON.parse(readFileSync(join(ROOT, 'docs', 'schemas', `${name}.schema.json`), 'utf8'))).toEqual(schema);
});
