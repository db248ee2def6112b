/**
 * One allowance of memory over all examinations under way in this process. A file that needs more than it may take costs its
 * own figures only.
 *
 * Every examination may take a small part of the allowance, which nearly every image stays within. One that needs more is
 * repeated, one such file at a time, with the rest of the allowance: what other files need does not decide on its figures.
 */
import { MiB } from '#base';
import { TableMemory } from '#block';

/** Of a command. A daemon that shares its memory with nothing but a limit sets a smaller one. */
const ALLOWANCE = 256 * MiB;
/** A small part, of which eight examinations that run at once take a quarter; the rest is for a large one. */
const SMALL_SHARE = 1 / 32;
const LARGE_SHARE = 3 / 4;

let allowance = ALLOWANCE;
let large: Promise<unknown> = Promise.resolve();

/** From now on all examinations of this process take at most `bytes` for tables, as long as no more than eight run at once. */
export function limitExaminationMemory(bytes: number): void {
  allowance = bytes;
}

/**
 * What `examine` gives within the memory that it is handed. `isShort` recognises a result that says that it did not suffice:
 * then it is done once more with the largest memory that one examination may take. `examine` must not call this.
 */
export async function withinMemory<T>(examine: (tables: TableMemory) => Promise<T>, isShort: (result: T) => boolean): Promise<T> {
  const result = await examine(new TableMemory(allowance * SMALL_SHARE));
  if (!isShort(result)) return result;
  const again = large.then(() => examine(new TableMemory(allowance * LARGE_SHARE)));
  // One that throws (an abort) must not stop those that wait.
  large = again.catch(() => undefined);
  return again;
}
