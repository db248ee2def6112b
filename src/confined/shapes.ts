/**
 * Shapes of what a confined worker may answer: types, bounds of size, and no key besides those that are named. The values come
 * from JSON, so they are plain objects; keys such as `__proto__` are keys like any other, and unknown.
 */

/** Whether a value has the shape. */
export type Shape = (value: unknown) => boolean;

export const flag: Shape = (value) => typeof value === 'boolean';

/** A whole number from 0 to 2^53 - 1. */
export const count: Shape = (value) => Number.isSafeInteger(value) && (value as number) >= 0;

export const finite: Shape = (value) => typeof value === 'number' && Number.isFinite(value);

/** Text of at most `maxLength` characters, all of it matching `pattern`. */
export function text(maxLength: number, pattern?: RegExp): Shape {
  return (value) => typeof value === 'string' && value.length <= maxLength && (pattern === undefined || pattern.test(value));
}

export function oneOf(values: readonly (string | null)[]): Shape {
  return (value) => (values as readonly unknown[]).includes(value);
}

export function either(...shapes: readonly Shape[]): Shape {
  return (value) => shapes.some((shape) => shape(value));
}

export const nothing: Shape = (value) => value === null;

export function listOf(shape: Shape, maxCount: number): Shape {
  return (value) => Array.isArray(value) && value.length <= maxCount && value.every((one) => shape(one));
}

/** An object with every key of `required`, perhaps some of `optional`, and no other. */
export function object(required: Readonly<Record<string, Shape>>, optional: Readonly<Record<string, Shape>> = {}): Shape {
  return (value) => {
    if (!isObject(value)) return false;
    const keys = Object.keys(value);
    const shapeOf = (key: string): Shape | undefined =>
      Object.hasOwn(required, key) ? required[key] : Object.hasOwn(optional, key) ? optional[key] : undefined;
    return Object.keys(required).every((key) => Object.hasOwn(value, key)) && keys.every((key) => shapeOf(key)?.(value[key]) === true);
  };
}

/** An object of at most `maxCount` keys that match `key`. */
export function dictionary(key: RegExp, shape: Shape, maxCount: number): Shape {
  return (value) => {
    if (!isObject(value)) return false;
    const entries = Object.entries(value);
    return entries.length <= maxCount && entries.every(([name, one]) => key.test(name) && shape(one));
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
