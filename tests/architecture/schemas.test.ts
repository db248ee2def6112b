/** docs/schemas/*.json describe what the command really prints with --json, and notice when it is wrong. */
import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMPONENT_CODES, COMPONENT_NAMES } from '#wire';
import { plimsoll } from '../support/command.ts';
import { type SmallStore, smallStore } from '../support/small-store.ts';
import { ROOT } from './source.ts';

type Json = Record<string, unknown>;
interface Defs {
  readonly Component?: { readonly properties: { readonly code: { readonly enum: readonly string[] } } };
}

const DIRECTORY = join(ROOT, 'docs', 'schemas');
const schemas = (existsSync(DIRECTORY) ? readdirSync(DIRECTORY) : [])
  .filter((name) => name.endsWith('.json') && name !== 'config.schema.json') // of a file, not of a report: src/cli/config
  .map((name) => {
    const schema = JSON.parse(readFileSync(join(DIRECTORY, name), 'utf8')) as Json;
    return { name, schema, of: (schema['properties'] as Record<string, { const?: string }> | undefined)?.['schema']?.const };
  });

/** What is wrong with `report` by the schema of its own `schema` field. */
function complaints(report: Json): string[] {
  const schema = schemas.find(({ of }) => of === report['schema'])?.schema;
  if (schema === undefined) return [`no schema in docs/schemas is of ${String(report['schema'])}`];
  const ajv = String(schema['$schema']).includes('2020-12') ? new Ajv2020({ allErrors: true }) : new Ajv({ allErrors: true });
  const validate = ajv.compile(schema);
  validate(report);
  return (validate.errors ?? []).map((error) => `${error.instancePath} ${error.message ?? ''}`);
}

const COMMANDS: readonly (readonly [string, readonly string[]])[] = [
  ['plimsoll.info/1', ['info', '--json', 'vm/web.qcow2', 'vm/mail.qcow2', 'vm/db.raw']],
  ['plimsoll.info/1', ['info', '--json', 'vm/broken.qcow2', 'vm/nowhere.qcow2', 'vm/outside.qcow2']],
  ['plimsoll.info/1', ['create', '--json', '-f', 'qcow2', 'vm/new.qcow2', '1G']],
  ['plimsoll.measure/1', ['measure', '--json', '-f', 'qcow2', '--size', '40G']],
  ['plimsoll.measure/1', ['measure', '--json', '-f', 'raw', '--size', '40G']],
  ['plimsoll.scan/1', ['scan', '--json', 'vm']],
  ['plimsoll.scan/1', ['scan', '--json', 'vm', 'nowhere']],
  ['plimsoll.vet/1', ['vet', '--json', 'vm/web.qcow2', 'vm/db.raw']],
  ['plimsoll.vet/1', ['vet', '--json', '-f', 'raw', 'vm/broken.qcow2', 'vm/outside.qcow2']],
  ['plimsoll.vet/1', ['vet', '--json', '--one-worker', 'vm/web.qcow2', 'vm/nowhere.qcow2', 'vm/db.raw']],
  ['plimsoll.who/1', ['who', '--json', 'vm/web.qcow2', 'vm/db.raw', 'vm/nowhere.qcow2']],
  ['plimsoll.who/1', ['who', '--json', '--locks-only', 'vm/web.qcow2']],
];

/** What to replace, each by itself, so that a report is wrong. */
const SPOIL_FIGURES: readonly (readonly [RegExp, string])[] = [
  [/"(allocation|capacity)":(\d+|null)/, '"$1":"1 GiB"'],
  [/"(commitment|verdict)":(\d+|null|"\w+"),/, ''],
  [/"length":(\d+|null)/, '"length":-1'],
];
const SPOIL_USE: readonly (readonly [RegExp, string])[] = [
  [/"file":"[^"]*"/, '"file":7'],
  [/"advice":"[^"]*",/, ''],
  [/"verdict":"\w+"/, '"verdict":"perhaps"'],
];

describe('the JSON schemas', () => {
  let store: SmallStore;
  const reports: string[] = [];
  let holder: number | undefined;
  beforeAll(async () => {
    store = await smallStore();
    writeFileSync(join(store.path, 'vm', 'broken.qcow2'), Buffer.concat([Buffer.from('QFI\xfb\0\0\0\x09', 'latin1'), Buffer.alloc(504)]));
    const overlay = ['create', '--quiet', '-f', 'qcow2', '-b', join(store.path, 'vm', 'base.qcow2'), '-F', 'qcow2'];
    await plimsoll([...overlay, join(store.path, 'vm', 'outside.qcow2')]);
    // A process for `who` to find.
    holder = openSync(join(store.path, 'vm', 'web.qcow2'), 'r');
    for (const [, words] of COMMANDS) reports.push((await plimsoll(words, { cwd: store.path })).stdout);
  });
  afterAll(() => {
    if (holder !== undefined) closeSync(holder);
    store[Symbol.dispose]();
  });

  it('exist for each kind of report', () => {
    expect(schemas.map(({ of }) => of ?? '').sort()).toEqual([...new Set(COMMANDS.map(([of]) => of))].sort());
  });

  it('list the codes of components, as docs/json.md does', () => {
    const known = new Set<string>(COMPONENT_CODES);
    const listed = schemas.flatMap(({ schema }) => (schema['$defs'] as Defs | undefined)?.Component?.properties.code.enum ?? []);
    expect(listed.filter((code) => !known.has(code))).toEqual([]);
    const section = readFileSync(join(ROOT, 'docs', 'json.md'), 'utf8').split('## Components')[1] ?? '';
    expect([...section.matchAll(/^\| `([^`]+)` \| (.+) \|$/gm)].map(([, code, name]) => [code, name])).toEqual(
      Object.entries(COMPONENT_NAMES),
    );
  });

  it.each(COMMANDS.map(([of, words], index) => ({ of, words, index })))('$of describes what `plimsoll $words` prints', ({ of, index }) => {
    const report = JSON.parse(reports[index] ?? '') as Json;
    expect([report['schema'], complaints(report)]).toEqual([of, []]);
  });

  it.each(COMMANDS.map(([of, words], index) => ({ of, words, index })))(
    '$of would notice if `plimsoll $words` printed something else, or left something out',
    ({ of, index }) => {
      const text = reports[index] ?? '';
      const spoilt = (of === 'plimsoll.who/1' ? SPOIL_USE : SPOIL_FIGURES).map(([found, put]) => text.replace(found, put));
      const noticed = [text, ...spoilt].map((one) => complaints(JSON.parse(one) as Json).length > 0);
      expect(noticed).toEqual([false, true, true, true]);
    },
  );
});
