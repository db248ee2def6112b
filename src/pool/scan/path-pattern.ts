/**
 * File name patterns: `*` and `?` match characters within a name, `[a-z]` matches one of several, and `**` matches any
 * number of directories. A pattern without a slash matches a file name; one with a slash matches the end of a path, or
 * the whole path if it begins with a slash. A pattern for a directory covers everything below it.
 */
import { PlimsollError } from '#base';

/** Whether a path, or a directory above it, is one that the patterns mean. */
export type PathMatcher = (path: string) => boolean;

const MAX_PATTERN_LENGTH = 1024;

/** Throws: usage, PATTERN_SYNTAX. */
export function pathMatcher(patterns: readonly string[]): PathMatcher {
  const parsed = patterns.map(parse);
  return (path) => parsed.some((pattern) => matches(pattern, path));
}

/** `below`: the state after which any number of directories may follow, before the next part. */
type Part = { readonly is: 'one'; readonly of: (character: string) => boolean } | { readonly is: 'name' | 'any' | 'enter' | 'below' };

interface Pattern {
  readonly parts: readonly Part[];
  readonly isWholePath: boolean;
  /** Where a match may end: at a directory, at a file, or at either. */
  readonly end: 'directory' | 'file' | 'either';
}

const NAME: Part = { is: 'name' };
const ANY: Part = { is: 'any' };
const BELOW: readonly Part[] = [{ is: 'enter' }, { is: 'below' }];

function parse(pattern: string): Pattern {
  if (pattern === '' || pattern === '/' || pattern.length > MAX_PATTERN_LENGTH || pattern.includes('\0')) throw wrong(pattern);
  const trimmed = pattern.replace(/\/+$/, '');
  const parts: Part[] = [];
  for (let at = 0; at < trimmed.length; ) {
    const [taken, read] = nextParts(trimmed.slice(at), pattern);
    parts.push(...read);
    at += taken;
  }
  // A name alone is that of a file; a path, or a name with a slash behind it, may be that of a directory above the file.
  const end = trimmed !== pattern ? 'directory' : trimmed.includes('/') ? 'either' : 'file';
  return { parts, isWholePath: trimmed.startsWith('/'), end };
}

/** How many code units the next part takes, and what it means. */
function nextParts(rest: string, pattern: string): readonly [taken: number, parts: readonly Part[]] {
  const stars = /^\*{2,}\/?/.exec(rest)?.[0];
  if (stars !== undefined) return [stars.length, stars.endsWith('/') ? BELOW : [ANY]];
  if (rest.startsWith('*')) return [1, [NAME]];
  if (rest.startsWith('?')) return [1, [{ is: 'one', of: (one) => one !== '/' }]];
  if (rest.startsWith('[')) return setOf(rest, pattern);
  const character = String.fromCodePoint(rest.codePointAt(0) as number);
  return [character.length, [{ is: 'one', of: (one) => one === character }]];
}

function setOf(rest: string, pattern: string): readonly [taken: number, parts: readonly Part[]] {
  const set = /^\[([!^]?)([^\]/][^\]/]*)\]/u.exec(rest);
  if (set === null) throw wrong(pattern);
  const [whole, negation, members] = set as unknown as [string, string, string];
  const ranges = [...members.matchAll(/(.)-(.)|(.)/gsu)].map(([, from, to, one = '']) => [from ?? one, to ?? one] as const);
  if (ranges.some(([from, to]) => compare(from, to) > 0)) throw wrong(pattern);
  const isMember = (one: string): boolean => ranges.some(([from, to]) => compare(from, one) <= 0 && compare(one, to) <= 0);
  return [whole.length, [{ is: 'one', of: (one) => one !== '/' && isMember(one) === (negation === '') }]];
}

function compare(a: string, b: string): number {
  return (a.codePointAt(0) as number) - (b.codePointAt(0) as number);
}

/** All ways through the pattern at once: the work is the product of both lengths at most, whatever a stranger calls a file. */
function matches({ parts, isWholePath, end }: Pattern, path: string): boolean {
  let states = new Set<number>();
  let isStart = true;
  for (const character of path) {
    if (isStart) enter(parts, 0, states);
    if (character === '/' && end !== 'file' && states.has(parts.length)) return true;
    const next = new Set<number>();
    for (const state of states) step(parts, state, character, next);
    states = next;
    isStart = character === '/' && !isWholePath;
  }
  return end !== 'directory' && states.has(parts.length);
}

/** Adds a state, and those that follow it without a character. */
function enter(parts: readonly Part[], state: number, states: Set<number>): void {
  states.add(state);
  const is = parts[state]?.is;
  if (is === 'name' || is === 'any') enter(parts, state + 1, states);
  else if (is === 'enter') {
    enter(parts, state + 1, states);
    enter(parts, state + 2, states);
  }
}

function step(parts: readonly Part[], state: number, character: string, next: Set<number>): void {
  const part = parts[state];
  if (part === undefined || part.is === 'enter') return;
  if (part.is === 'one') {
    if (part.of(character)) enter(parts, state + 1, next);
    return;
  }
  if (part.is !== 'name' || character !== '/') enter(parts, state, next);
  if (part.is === 'below' && character === '/') enter(parts, state + 1, next);
}

function wrong(pattern: string): PlimsollError {
  return new PlimsollError('usage', 'PATTERN_SYNTAX', {
    doing: 'parse pattern',
    found: pattern === '' ? 'an empty pattern' : pattern.slice(0, 200),
    expected: "a file name such as '*.iso', a directory such as 'templates/', or a path",
  });
}
