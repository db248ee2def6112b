/**
 * Writes the types that follow from schemas out in full: `Shape<typeof XSchema>` in the emitted declarations becomes the type
 * itself, so that the declarations of the library need no package.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const FILES = ['components.d.ts', 'reports.d.ts', 'serve-reports.d.ts', 'use-reports.d.ts', 'vet-report.d.ts'];
const DERIVED = /\bShape<typeof (\w+)Schema>/g;

/** `types`: the folder of the declarations. `esbuild` bundles the schemas, so that they can be loaded. */
export async function expandSchemaTypes(esbuild, root, types) {
  const bundle = join(types, 'schemas.mjs');
  await esbuild.build({
    entryPoints: [join(root, 'src/wire/schemas/index.ts')],
    outfile: bundle,
    absWorkingDir: root,
    bundle: true,
    format: 'esm',
    platform: 'node',
    conditions: ['source'],
  });
  const schemas = await import(pathToFileURL(bundle).href);
  for (const name of FILES) {
    const path = join(types, 'wire', name);
    const text = readFileSync(path, 'utf8')
      .replace(/^import type \{[^}]*\} from ['"]\.\/(?:schemas\/\w+|shape)\.(?:ts|js)['"];\n/gm, '')
      .replace(DERIVED, (_, schema) => typeOf(schemas[`${schema}Schema`], ''));
    if (text.includes('Schema')) throw new Error(`${name}: not every type of a schema was written out`);
    writeFileSync(path, text);
  }
  rmSync(bundle);
  rmSync(join(types, 'wire', 'schemas'), { recursive: true });
  rmSync(join(types, 'wire', 'shape.d.ts'));
}

/** A JSON Schema as a read-only TypeScript type. Throws: a keyword that the schemas of plimsoll did not use so far. */
function typeOf(schema, indent) {
  if (schema.anyOf !== undefined) return schema.anyOf.map((one) => typeOf(one, indent)).join(' | ');
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === 'array') return `readonly (${typeOf(schema.items, indent)})[]`;
  if (schema.type === 'object') return schema.properties === undefined ? recordOf(schema, indent) : objectOf(schema, indent);
  if (schema.type === 'integer') return 'number';
  if (['string', 'number', 'boolean', 'null'].includes(schema.type)) return schema.type;
  throw new Error(`a schema without a known type: ${JSON.stringify(schema)}`);
}

function recordOf(schema, indent) {
  const [value] = Object.values(schema.patternProperties ?? {});
  if (value === undefined) throw new Error(`an object without properties: ${JSON.stringify(schema)}`);
  return `Readonly<Record<string, ${typeOf(value, indent)}>>`;
}

function objectOf({ properties, required = [] }, indent) {
  const deeper = `${indent}  `;
  const lines = Object.entries(properties).map(([name, one]) => {
    const comment = one.description === undefined ? '' : `${deeper}/** ${one.description} */\n`;
    return `${comment}${deeper}readonly ${name}${required.includes(name) ? '' : '?'}: ${typeOf(one, deeper)};\n`;
  });
  return `{\n${lines.join('')}${indent}}`;
}
