/** The declarations that an administrator can make about a store where plimsoll cannot determine a fact. */

/**
 * `exclusive`: only this host takes space there. `backed`: every byte that the filesystem reports as available has storage
 * below it. `no-quota`: no limit but the size of the filesystem applies to the images. `usual-writes`: no guest writes, zeroes or
 * discards single blocks in an order made to enlarge the filesystem's map of its file.
 */
export const ASSUMPTIONS = ['exclusive', 'backed', 'no-quota', 'usual-writes'] as const;
export type Assumption = (typeof ASSUMPTIONS)[number];

/** The declaration under which the extent maps of files stay within the commitments. */
export const USUAL_WRITES: Assumption = 'usual-writes';
