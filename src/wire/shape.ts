/** The type of what a schema describes. */
import type { Static, TSchema } from 'typebox';

/** Read-only all the way down. */
type Frozen<T> = T extends readonly (infer E)[] ? readonly Frozen<E>[] : T extends object ? { readonly [K in keyof T]: Frozen<T[K]> } : T;

export type Shape<S extends TSchema> = Frozen<Static<S>>;
