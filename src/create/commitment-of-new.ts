/** What a store has to have room for before an image is made on it. */
import { measureNew } from './measure-new.ts';
import { type CreateOptions, type NewImageFormat, parseCreateOptions } from './create-options.ts';

/**
 * The most that a new image and its external data file, if the options name one, can come to consume.
 *
 * The data file is counted as if it lay on the same store. Units: bytes. Throws: usage.
 */
export function commitmentOfNew(format: NewImageFormat, capacity: number, options: CreateOptions): number {
  const own = measureNew(format, capacity, options).commitment;
  if (options.format === 'raw' || options.qcow2.dataFile === undefined) return own;
  return own + measureNew('raw', capacity, parseCreateOptions('raw', [])).commitment;
}
