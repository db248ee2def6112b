/** Converts one value of the configuration from TOML to the type that the program uses. */
import { isAbsolute } from 'node:path';
import { HOST_ID_PATTERN, HOST_ID_SYNTAX, parseDuration, parseSize, PlimsollError } from '#base';
import type { ValueKind } from './keys.ts';

/** The expected form of a value, in words. */
export function expectedOf(kind: ValueKind): string {
  const words: Readonly<Record<ValueKind['is'], string>> = {
    size: 'a size such as "20G"',
    duration: 'a duration such as "30m"',
    percent: 'a number from 0 to 100',
    share: 'a number from 0 to 1',
    path: 'an absolute path',
    paths: 'a list of absolute paths',
    patterns: 'a list of patterns such as "*.iso" or "templates/"',
    name: HOST_ID_SYNTAX,
    address: 'an address such as "127.0.0.1:9464"',
    choices: kind.is === 'choices' ? `a list of ${kind.of.map((one) => `"${one}"`).join(', ')}` : '',
    choice: kind.is === 'choice' ? kind.of.map((one) => `"${one}"`).join(', ') : '',
  };
  return 'orOff' in kind ? `${words[kind.is]}, or "off"` : words[kind.is];
}

/** Bytes, seconds, a number, a text; null for "off". Throws: usage, unless it has the form of `kind`. */
export function readValue(kind: ValueKind, value: unknown): unknown {
  if (value === 'off' && 'orOff' in kind) return null;
  switch (kind.is) {
    case 'size':
      return isCount(value) ? value : parseSize(text(value, kind), 'the value');
    case 'duration':
      return parseDuration(text(value, kind), 'the value');
    case 'percent':
      return numberUpTo(value, 100, kind);
    case 'share':
      return numberUpTo(value, 1, kind);
    case 'path':
      return path(value, kind);
    case 'paths':
      return Array.isArray(value) ? value.map((one) => path(one, kind)) : wrong(kind);
    case 'patterns':
      return Array.isArray(value) ? value.map((one) => text(one, kind)) : wrong(kind);
    case 'choice':
      return kind.of.includes(text(value, kind)) ? value : wrong(kind);
    case 'choices':
      return Array.isArray(value) && value.every((one) => kind.of.includes(text(one, kind))) ? value : wrong(kind);
    case 'name':
      return HOST_ID_PATTERN.test(text(value, kind)) ? value : wrong(kind);
    case 'address':
      return text(value, kind);
  }
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function text(value: unknown, kind: ValueKind): string {
  return typeof value === 'string' ? value : wrong(kind);
}

function path(value: unknown, kind: ValueKind): string {
  return typeof value === 'string' && isAbsolute(value) && !value.includes('\0') ? value : wrong(kind);
}

function numberUpTo(value: unknown, most: number, kind: ValueKind): number {
  return typeof value === 'number' && value >= 0 && value <= most ? value : wrong(kind);
}

function wrong(kind: ValueKind): never {
  throw new PlimsollError('usage', 'CONFIG_VALUE', { doing: 'use the value', expected: expectedOf(kind) });
}
