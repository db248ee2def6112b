/** Errors and torn writes at a chosen call: for tests of what survives them. */
import type { WritableDevice } from '../device.ts';

export interface FaultOptions {
  /** The call of `read` that fails, from 1 on; left out: none does. */
  readonly failingRead?: number;
  /** The call of `write`, `writeZeroes`, `discard` or `flush` that fails, from 1 on, and with it all later ones, as in a crash. */
  readonly failingWrite?: number;
  /** Bytes of the failing `write` that arrive nevertheless: a torn write. */
  readonly tornBytes?: number;
  /** What the failing calls reject with. */
  readonly error?: () => Error;
}

/** `device` with the faults of `options`; everything else is passed on. */
export function withFaults(device: WritableDevice, options: FaultOptions): WritableDevice {
  const fault = options.error ?? (() => new Error('injected fault'));
  let reads = 0;
  let writes = 0;
  const hasFailed = (): boolean => {
    writes += 1;
    return options.failingWrite !== undefined && writes >= options.failingWrite;
  };
  const changing = (change: () => Promise<void>): Promise<void> => (hasFailed() ? Promise.reject(fault()) : change());
  return {
    byteLength: device.byteLength,
    memory: device.memory,
    limits: device.limits,
    read(target, offset, readOptions) {
      reads += 1;
      return reads === options.failingRead ? Promise.reject(fault()) : device.read(target, offset, readOptions);
    },
    extents: (offset, length, readOptions) => device.extents(offset, length, readOptions),
    async write(source, offset) {
      if (!hasFailed()) return device.write(source, offset);
      if (writes === options.failingWrite) await device.write(source.subarray(0, options.tornBytes ?? 0), offset);
      throw fault();
    },
    writeZeroes: (offset, length, zeroOptions) => changing(() => device.writeZeroes(offset, length, zeroOptions)),
    discard: (offset, length) => changing(() => device.discard(offset, length)),
    flush: () => changing(() => device.flush()),
    [Symbol.asyncDispose]: () => device[Symbol.asyncDispose](),
  };
}
