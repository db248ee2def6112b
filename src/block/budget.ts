/** A filter that counts: an image whose tables refer to each other cannot make a reader work without end. */
import { PlimsollError } from '#base';
import type { BlockDevice } from './device.ts';

/**
 * `device`, of which at most `budgetBytes` may be read in all.
 *
 * Throws: over-budget, at the read that would exceed it.
 */
export function withReadBudget(device: BlockDevice, budgetBytes: number): BlockDevice {
  let left = budgetBytes;
  return {
    byteLength: device.byteLength,
    memory: device.memory,
    read(offset, length, into) {
      left -= length;
      if (left < 0) {
        throw new PlimsollError('over-budget', 'READ_BUDGET', {
          doing: 'read image metadata',
          at: offset,
          found: `more than ${budgetBytes} bytes of tables`,
          expected: 'tables that take no more than the storage of the file',
        });
      }
      return device.read(offset, length, into);
    },
  };
}
