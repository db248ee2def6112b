/** Limits of a reservation, for the ledger and the schema of the API. */

/** Characters. */
export const MAX_KEY_LENGTH = 200;
export const MIN_TTL_SECONDS = 1;
/** Long enough for a month of preparation, short enough that a forgotten one does not block a store for ever. */
export const MAX_TTL_SECONDS = 30 * 86_400;
