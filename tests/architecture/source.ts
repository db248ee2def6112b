/** The source as the architecture tests see it: its files, parsed, and what they import and export. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'vite';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Any node of a syntax tree, as ESTree and the TypeScript extension of it name them. */
export interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [property: string]: unknown;
}

export interface SourceFile {
  /** Relative to the root, with slashes: `src/base/errors.ts`. */
  readonly path: string;
  /** First folder below src/, or the file's own name there. */
  readonly layer: string;
  readonly isTest: boolean;
  readonly text: string;
  readonly tree: Node;
}

export interface Import {
  readonly from: string;
  readonly line: number;
  /** Nothing of it exists when the program runs. */
  readonly typeOnly: boolean;
}

/** Every TypeScript file below src/, ascending by path. */
export function sourceFiles(): SourceFile[] {
  return readdirSync(join(ROOT, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .sort()
    .map((path) => parseFile(path, readFileSync(join(ROOT, path), 'utf8')));
}

export function parseFile(path: string, text: string): SourceFile {
  const { program, errors } = parseSync(path, text, { lang: path.endsWith('.tsx') ? 'tsx' : 'ts' });
  if (errors[0] !== undefined) throw new Error(`${path}: ${errors[0].message}`);
  return { path, layer: path.split('/')[1] ?? '', isTest: path.endsWith('.test.ts'), text, tree: program as unknown as Node };
}

/** Every node below `node`, itself first, each with the nodes that enclose it, the outermost first. */
export function* walk(root: Node): Generator<readonly [Node, readonly Node[]]> {
  const pending: (readonly [Node, readonly Node[]])[] = [[root, []]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    yield next;
    const [node, enclosing] = next;
    const children = Object.values(node).flat().filter(isNode);
    if (children.length === 0) continue;
    const within = [...enclosing, node];
    for (const child of children.reverse()) pending.push([child, within]);
  }
}

export function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';
}

/** All that `file` imports: statements, re-exports, import() and import types. */
export function importsOf(file: SourceFile): Import[] {
  const found: Import[] = [];
  for (const [node] of walk(file.tree)) {
    const source = node['source'] as Node | null | undefined;
    if (isNode(source) && typeof source['value'] === 'string') {
      found.push({ from: source['value'], line: lineOf(file, node), typeOnly: isTypeOnly(node) });
    } else if (node.type === 'ImportExpression') throw new Error(`${file.path}:${lineOf(file, node)}: import() of something computed`);
  }
  return found;
}

function isTypeOnly(node: Node): boolean {
  if (node.type === 'TSImportType' || node['importKind'] === 'type' || node['exportKind'] === 'type') return true;
  const specifiers = (node['specifiers'] ?? []) as readonly Node[];
  return specifiers.length > 0 && specifiers.every((one) => one['importKind'] === 'type' || one['exportKind'] === 'type');
}

export function lineOf(file: SourceFile, node: Node): number {
  return file.text.slice(0, node.start).split('\n').length;
}
