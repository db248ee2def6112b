/** Reports each read of a device: for tests and benchmarks that count them. */
import { filterDevice, type ReadableDevice } from '../device.ts';

export interface TracedRead {
  readonly offset: number;
  /** Bytes requested. */
  readonly length: number;
}

/** `device`, whose reads are passed to `record` before they run. Reads of memory (`peek`) are reads, too. */
export function withTrace(device: ReadableDevice, record: (read: TracedRead) => void): ReadableDevice {
  return filterDevice(device, {
    read(target, offset, options) {
      record({ offset, length: target.byteLength });
      return device.read(target, offset, options);
    },
  });
}
