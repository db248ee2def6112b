/** The documents of docs/schemas, made of the schemas: each complete in itself, with every named shape once in its `$defs`. */
import type { TSchema } from 'typebox';
import { InfoReportSchema, MeasureReportSchema, ScanReportSchema } from './reports.ts';
import { VetDocumentSchema } from './vet.ts';
import { WhoReportSchema } from './who.ts';

type Json = null | boolean | number | string | readonly Json[] | JsonObject;
interface JsonObject {
  readonly [key: string]: Json;
}

const DOCUMENTS: Readonly<Record<string, readonly [TSchema, string]>> = {
  info: [InfoReportSchema, 'Printed by `plimsoll info --json` and `plimsoll create --json`.'],
  measure: [MeasureReportSchema, 'Printed by `plimsoll measure --json`.'],
  scan: [ScanReportSchema, 'Printed by `plimsoll scan --json`.'],
  vet: [VetDocumentSchema, 'Printed by `plimsoll vet --json`: verdicts on untrusted images.'],
  who: [WhoReportSchema, 'Printed by `plimsoll who --json`: the users of images, and whether these are safe to read or write.'],
};

/** By name, such as `scan` for `scan.schema.json`. */
export function jsonSchemas(): Readonly<Record<string, JsonObject>> {
  return Object.fromEntries(
    Object.entries(DOCUMENTS).map(([name, [schema, description]]) => [name, documentOf(name, schema, description)]),
  );
}

function documentOf(name: string, schema: TSchema, description: string): JsonObject {
  const defs: Record<string, Json> = {};
  const { title: _title, ...plain } = JSON.parse(JSON.stringify(schema)) as Record<string, Json>;
  const lifted = liftShapes(plain, defs) as JsonObject;
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: `urn:plimsoll:schema:${name}:1`,
    title: `plimsoll.${name}/1`,
    description,
    ...lifted,
    $defs: Object.fromEntries(Object.entries(defs).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

/** Shapes with a title move to `defs`, and are referred to; the description of a property stays with it. */
function liftShapes(value: Json, defs: Record<string, Json>): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map((one) => liftShapes(one, defs));
  if (typeof value !== 'object' || value === null) return value;
  const { title, description, ...rest } = value as JsonObject;
  const isShape = typeof title === 'string' && rest['type'] === 'object';
  const entries = Object.entries(isShape ? rest : value).map(([key, one]) => [key, liftShapes(one, defs)] as const);
  if (!isShape) return Object.fromEntries(entries);
  defs[title] = Object.fromEntries(entries);
  return { ...(description === undefined ? {} : { description }), $ref: `#/$defs/${title}` };
}
