/**
 * The codes that the source can report, read from its syntax trees: of errors (the second argument of `new PlimsollError`,
 * `{kind, code, message}`) and of findings (`{level, code, message}`).
 *
 * A code that reaches such a place through a parameter is looked for at the calls of the function; what stays open in a
 * template becomes `*`. A code copied from an error or finding that exists already is no new one. Anything else is
 * reported as unreadable: the test fails rather than overlook it.
 */
import { isNode, lineOf, type Node, type SourceFile, walk } from './source.ts';

export interface UtteredCodes {
  readonly errors: ReadonlySet<string>;
  readonly findings: ReadonlySet<string>;
  /** Places whose code could not be read. */
  readonly unreadable: readonly string[];
}

/** A place in a file with everything that encloses it. */
interface Place {
  readonly file: SourceFile;
  readonly node: Node;
  readonly enclosing: readonly Node[];
}

const MAX_DEPTH = 6;

export function utteredCodes(files: readonly SourceFile[]): UtteredCodes {
  return new CodeReader(files).read();
}

class CodeReader {
  readonly #uttering: readonly (readonly [Place, Utterance])[];
  /** Calls, by the name of the callee. */
  readonly #calls = new Map<string, Place[]>();
  readonly #codes = { errors: new Set<string>(), findings: new Set<string>() };
  readonly #unreadable = new Set<string>();

  constructor(files: readonly SourceFile[]) {
    const uttering: (readonly [Place, Utterance])[] = [];
    for (const file of files.filter(({ isTest }) => !isTest)) {
      for (const [node, enclosing] of walk(file.tree)) {
        const uttered = utterance(node);
        if (uttered !== undefined) uttering.push([{ file, node, enclosing }, uttered]);
        const callee = node.type === 'CallExpression' ? calleeOf(node) : undefined;
        if (callee === undefined) continue;
        const calls = this.#calls.get(callee) ?? [];
        this.#calls.set(callee, calls);
        calls.push({ file, node, enclosing });
      }
    }
    this.#uttering = uttering;
  }

  read(): UtteredCodes {
    for (const [place, uttered] of this.#uttering) {
      for (const code of this.#resolve({ ...place, node: uttered.code }, 0)) this.#codes[uttered.of].add(code);
    }
    return { ...this.#codes, unreadable: [...this.#unreadable] };
  }

  /** The codes that the expression at `place` can be; `*` for what is open inside a template. */
  #resolve(place: Place, depth: number): string[] {
    const node = unwrapped(place.node);
    const at = (inner: unknown): Place => ({ ...place, node: inner as Node });
    if (node.type === 'Literal' && typeof node['value'] === 'string') return [node['value']];
    if (node.type === 'ConditionalExpression') {
      return [...this.#resolve(at(node['consequent']), depth), ...this.#resolve(at(node['alternate']), depth)];
    }
    if (node.type === 'LogicalExpression') return [...this.#resolve(at(node['left']), depth), ...this.#resolve(at(node['right']), depth)];
    if (node.type === 'TemplateLiteral') return this.#template(place, node, depth);
    if (node.type === 'MemberExpression') return this.#member(place, node, depth);
    if (node.type === 'Identifier' && depth < MAX_DEPTH) return this.#identifier(place, String(node['name']), depth);
    return this.#fail(place);
  }

  #template(place: Place, node: Node, depth: number): string[] {
    const parts = (node['quasis'] as readonly { value: { cooked: string } }[]).map(({ value }) => value.cooked);
    return (node['expressions'] as readonly Node[]).reduce<string[]>(
      (begun, expression, index) => {
        const isOpen = unwrapped(expression).type === 'MemberExpression';
        const fillings = isOpen ? ['*'] : this.#resolve({ ...place, node: expression }, depth);
        return begun.flatMap((start) => fillings.map((filling) => `${start}${filling}${parts[index + 1] ?? ''}`));
      },
      [parts[0] ?? ''],
    );
  }

  /** `error.code` of an object written out here, else the code of something that exists already. */
  #member(place: Place, node: Node, depth: number): string[] {
    const property = node['property'] as Node;
    if (property['name'] !== 'code') return this.#fail(place);
    const object = unwrapped(node['object'] as Node);
    const declared = object.type === 'Identifier' ? initialValue(place, String(object['name'])) : undefined;
    const literal = declared === undefined ? undefined : unwrapped(declared);
    const code = literal?.type === 'ObjectExpression' ? properties(literal).get('code') : undefined;
    return code === undefined ? [] : this.#resolve({ ...place, node: code }, depth);
  }

  #identifier(place: Place, name: string, depth: number): string[] {
    for (const scope of [...place.enclosing].reverse()) {
      const index = parameterNames(scope).indexOf(name);
      if (index >= 0) return this.#fromCalls(place, scope, index, depth + 1);
      if (takesApart(scope, name)) return [];
    }
    const value = initialValue(place, name);
    return value === undefined ? this.#fail(place) : this.#resolve({ ...place, node: value }, depth + 1);
  }

  /** What the calls of the function `scope` give for its parameter `index`. */
  #fromCalls(place: Place, scope: Node, index: number, depth: number): string[] {
    const name = nameOf(scope, place.enclosing);
    // `new PlimsollError` is where the search began: its own parameter accepts every code.
    if (name === 'constructor') return [];
    const isHere = (file: SourceFile): boolean => file === place.file || new RegExp(`import[^;]*\\b${name}\\b`).test(file.text);
    const given = (this.#calls.get(name) ?? []).flatMap((call) => {
      if (!isHere(call.file)) return [];
      const argument = (call.node['arguments'] as readonly Node[])[index];
      return argument === undefined ? [] : this.#resolve({ ...call, node: argument }, depth);
    });
    return given.length === 0 ? this.#fail(place) : given;
  }

  #fail({ file, node }: Place): string[] {
    this.#unreadable.add(`${file.path}:${lineOf(file, node)} ${file.text.slice(node.start, node.end).slice(0, 80)}`);
    return [];
  }
}

/** The expression of a code, and the kind of its list. */
interface Utterance {
  readonly of: 'errors' | 'findings';
  readonly code: Node;
}

/** The expression of the code, where `node` makes an error or a finding. */
function utterance(node: Node): Utterance | undefined {
  if (node.type === 'NewExpression' && (node['callee'] as Node)['name'] === 'PlimsollError') {
    return { of: 'errors', code: (node['arguments'] as readonly Node[])[1] as Node };
  }
  if (node.type !== 'ObjectExpression') return undefined;
  const named = properties(node);
  const code = named.get('code');
  if (code === undefined || !named.has('message') || isShape(code)) return undefined;
  if (named.has('level')) return { of: 'findings', code };
  return named.has('kind') ? { of: 'errors', code } : undefined;
}

/** `text(64)`, of the shape of an answer (`confined/shapes.ts`): a check of a code, not a code. */
function isShape(code: Node): boolean {
  return code.type === 'CallExpression' && (code['callee'] as Node)['name'] === 'text';
}

function properties(object: Node): Map<string, Node> {
  const list = (object['properties'] as readonly Node[]).filter((one) => one.type === 'Property' && one['computed'] === false);
  return new Map(list.map((one) => [String((one['key'] as Node)['name'] ?? (one['key'] as Node)['value']), one['value'] as Node]));
}

function unwrapped(node: Node): Node {
  const isWrapper = ['TSAsExpression', 'TSSatisfiesExpression', 'TSNonNullExpression', 'ParenthesizedExpression'].includes(node.type);
  return isWrapper ? unwrapped(node['expression'] as Node) : node;
}

function parameterNames(node: Node): string[] {
  const list = /^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type) ? node['params'] : [];
  return (Array.isArray(list) ? (list as readonly Node[]) : []).map((one) => {
    const target =
      one.type === 'TSParameterProperty' ? (one['parameter'] as Node) : one.type === 'AssignmentPattern' ? (one['left'] as Node) : one;
    return target.type === 'Identifier' ? String(target['name']) : '';
  });
}

/** The name by which `scope` is called: its own, its method's, or its variable's. */
function nameOf(scope: Node, enclosing: readonly Node[]): string {
  if (isNode(scope['id'])) return String(scope['id']['name']);
  const parent = enclosing[enclosing.indexOf(scope) - 1];
  const named = (parent?.['key'] ?? parent?.['id']) as Node | undefined;
  const name = named?.['name'];
  return typeof name === 'string' ? name : '';
}

function calleeOf(call: Node): string | undefined {
  const callee = call['callee'] as Node;
  const named = callee.type === 'MemberExpression' ? (callee['property'] as Node) : callee;
  return typeof named['name'] === 'string' ? named['name'] : undefined;
}

/** Whether `scope` takes `name` out of an object as its `code`: `const { code } = error`. */
function takesApart(scope: Node, name: string): boolean {
  if (scope.type !== 'BlockStatement') return false;
  return (scope['body'] as readonly Node[]).some((statement) => {
    if (statement.type !== 'VariableDeclaration') return false;
    const patterns = (statement['declarations'] as readonly Node[]).map((one) => one['id'] as Node);
    return name === 'code' && patterns.some((pattern) => pattern.type === 'ObjectPattern' && properties(pattern).has('code'));
  });
}

/** What a variable of `place`'s file called `name` is declared with. */
function initialValue(place: Place, name: string): Node | undefined {
  for (const scope of [...place.enclosing].reverse()) {
    for (const [node] of walk(scope)) {
      const isIt = node.type === 'VariableDeclarator' && (node['id'] as Node)['name'] === name;
      if (isIt && isNode(node['init'])) return node['init'];
    }
  }
  return undefined;
}
