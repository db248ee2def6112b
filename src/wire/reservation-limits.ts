/** What may be asked of a reservation: the ledger holds to it, and the schema of the API says it. */

/** Characters. */
export const MAX_KEY_LENGTH = 200;
export const SHORTEST_TTL_SECONDS = 1;
/** Long enough for a month of preparation, short enough that a forgotten one does not block a store for ever. */
export const LONGEST_TTL_SECONDS = 30 * 86_400;
