/** What an administrator can declare of a store where plimsoll cannot find it out. */

/**
 * `exclusive`: only this host takes space there. `backed`: every byte that the filesystem reports as available has storage
 * below it. `no-quota`: no limit but the size of the filesystem applies to the images.
 */
export const ASSUMPTIONS = ['exclusive', 'backed', 'no-quota'] as const;
export type Assumption = (typeof ASSUMPTIONS)[number];
