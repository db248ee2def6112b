/** Every import in src/ is allowed by the table in layers.ts. */
import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Layer, LAYERS, MAY_IMPORT_FORMATS, TYPES_ONLY } from './layers.ts';
import { type Import, importsOf, parseFile, type SourceFile, sourceFiles } from './source.ts';

const files = sourceFiles();

/** What is wrong with one import of `file`, undefined when nothing is. */
function complaint(file: SourceFile, one: Import): string | undefined {
  const layer = LAYERS.find(({ name }) => name === file.layer);
  if (layer === undefined) return 'stands in a folder that layers.ts does not know';
  if (one.from.startsWith('.')) return relativeComplaint(file, one.from);
  if (one.from.startsWith('#')) return layerComplaint(file, layer, one);
  if (file.isTest) return undefined;
  if (one.from.startsWith('node:')) return one.from in layer.node ? undefined : `imports ${one.from}, which ${layer.name} may not`;
  const allowed = layer.packages[one.from];
  if (allowed === undefined) return `imports the package ${one.from}, which ${layer.name} may not`;
  const isAllowedHere = allowed.file === '*' || file.path === `src/${layer.name}/${allowed.file}`;
  return isAllowedHere ? undefined : `imports the package ${one.from}, which only ${allowed.file} may`;
}

/** Inside a layer by relative path; out of it never, save tests to their support. */
function relativeComplaint(file: SourceFile, from: string): string | undefined {
  const target = posix.join(posix.dirname(file.path), from);
  if (target.startsWith(`src/${file.layer}/`)) return undefined;
  return file.isTest && target.startsWith('tests/support/') ? undefined : `leaves its layer by ${from}: layers meet through #layer`;
}

function layerComplaint(file: SourceFile, layer: Layer, one: Import): string | undefined {
  // `#wire/schemas` is a second entry of the layer wire.
  const [target] = one.from.slice(1).split('/') as [string];
  if (target === layer.name) return file.isTest ? undefined : `imports itself by ${one.from}: inside a layer by relative path`;
  if (!LAYERS.some(({ name }) => name === target)) return `imports ${one.from}: no such layer`;
  // A test may import any layer for its set-up; it is not part of the build.
  if (file.isTest) return undefined;
  const reason = layer.layers[target];
  if (reason === undefined) return `imports ${one.from}, which ${layer.name} may not`;
  return reason.startsWith(TYPES_ONLY) && !one.typeOnly ? `imports more than types of ${one.from}` : undefined;
}

function complaints(file: SourceFile): string[] {
  return importsOf(file).flatMap((one) => {
    const wrong = complaint(file, one);
    return wrong === undefined ? [] : [`${file.path}:${one.line} ${wrong}`];
  });
}

describe('the layers', () => {
  it.each([...new Set(files.map((file) => file.layer))])('src/%s imports only what the table allows', (layer) => {
    expect(files.filter((file) => file.layer === layer).flatMap(complaints)).toEqual([]);
  });

  it('are listed bottom up: none imports one that comes after it', () => {
    const order = LAYERS.map(({ name }) => name);
    for (const [index, { layers }] of LAYERS.entries()) expect(order.slice(0, index)).toEqual(expect.arrayContaining(Object.keys(layers)));
  });

  it('have a folder each', () => {
    expect(LAYERS.map(({ name }) => name).sort()).toEqual([...new Set(files.map((file) => file.layer))].sort());
  });

  it.each(LAYERS.map((layer) => [layer.name, layer] as const))('%s: every permission in the table is used', (name, layer) => {
    const used = new Set(
      files
        .filter((file) => file.layer === name && !file.isTest)
        .flatMap(importsOf)
        .map((one) => one.from),
    );
    const allowed = [...Object.keys(layer.layers).map((one) => `#${one}`), ...Object.keys(layer.node), ...Object.keys(layer.packages)];
    expect(allowed.filter((one) => !used.has(one))).toEqual([]);
  });

  it('above the sandbox import no parser', () => {
    expect(LAYERS.filter(({ layers }) => 'formats' in layers).map(({ name }) => name)).toEqual(MAY_IMPORT_FORMATS);
  });

  it.each([
    ['src/pool/a.ts', "import { probe } from '#formats';", 'imports #formats, which pool may not'],
    ['src/pool/a.ts', "import { memoryDevice, type StorageMap } from '#block';", 'imports more than types of #block'],
    ['src/cli/a.ts', "const { a } = await import('../host/ffi.ts');", 'leaves its layer by ../host/ffi.ts: layers meet through #layer'],
    ['src/formats/a.ts', "import { open } from 'node:fs/promises';", 'imports node:fs/promises, which formats may not'],
    ['src/host/a.ts', "type K = typeof import('koffi');", 'imports the package koffi, which only ffi.ts may'],
    ['src/fresh/a.ts', "export { a } from '#base';", 'stands in a folder that layers.ts does not know'],
  ])('would catch in %s: %s', (path, text, expected) => {
    expect(complaints(parseFile(path, text))).toEqual([`${path}:1 ${expected}`]);
  });

  it('accept the permitted imports', () => {
    const text =
      "import type { StorageMap } from '#block';\nimport { scan } from '../scan.ts';\nimport { join } from 'node:path';\nexport { a } from './a/b.ts';";
    expect(complaints(parseFile('src/pool/deep/a.ts', text))).toEqual([]);
  });
});
