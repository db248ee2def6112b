/** Limits the bytes read, so that cyclic tables cannot cause unbounded work. */
import { PlimsollError } from '#base';
import { filterDevice, type ReadableDevice } from '../device.ts';

/**
 * `device`, of which at most `budgetBytes` may be read in all; lengths count as requested, past the end too.
 *
 * Rejects: over-budget READ_BUDGET, from the read on that would exceed it.
 */
export function withReadBudget(device: ReadableDevice, budgetBytes: number): ReadableDevice {
  let remaining = budgetBytes;
  return filterDevice(device, {
    peek(offset, length) {
      // `read` rejects the excess.
      if (length > remaining) return undefined;
      const known = device.peek?.(offset, length);
      if (known !== undefined) remaining -= length;
      return known;
    },
    read(target, offset, options) {
      remaining -= target.byteLength;
      return remaining < 0 ? Promise.reject(exceeded(offset, budgetBytes)) : device.read(target, offset, options);
    },
  });
}

function exceeded(at: number, budgetBytes: number): PlimsollError {
  return new PlimsollError('over-budget', 'READ_BUDGET', {
    doing: 'read image metadata',
    at,
    found: `more than ${budgetBytes} bytes of tables`,
    expected: 'tables that take no more than the storage of the file',
  });
}
