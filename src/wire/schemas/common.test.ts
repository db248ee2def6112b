/** The schema of an error is held to the type that #base gives; every other type is derived from its schema. */
import type { Static } from 'typebox';
import { expect, it } from 'vitest';
import type { SerializedError } from '#base';
import type { ErrorSchema } from './common.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
/** Equality to the last optional property, which assignments in both directions do not show. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

it('describes the serialized error of #base', () => {
  const isSame: Same<Mutable<Static<typeof ErrorSchema>>, Mutable<SerializedError>> = true;
  expect(isSame).toBe(true);
});
