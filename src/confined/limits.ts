/** What one confined request may cost. Each has its own error code, so that the caller hears which one it was. */
import { GiB, MiB } from '#base';

export interface Limits {
  /** By the clock, the start of the worker included. Measured outside. */
  readonly wallMs: number;
  /** Processor time of all threads; whole seconds, as the kernel counts it (RLIMIT_CPU). */
  readonly cpuSeconds: number;
  /** Private writable memory beyond that of a worker that has nothing to do (RLIMIT_DATA): heap and buffers. To 16 MiB. */
  readonly memoryBytes: number;
  /** All that the worker says: frames and standard error. Measured outside. */
  readonly outputBytes: number;
}

/**
 * Generous for an honest image: a census of 16 TiB reads some 2 GiB of tables, and takes half a minute of processor time
 * and 300 MiB.
 */
export const DEFAULT_LIMITS: Limits = { wallMs: 120_000, cpuSeconds: 60, memoryBytes: GiB, outputBytes: 64 * MiB };

/** Those that the worker sets on itself before it is sealed: the one word on its command line, as JSON. */
export interface WorkerOrder extends Pick<Limits, 'cpuSeconds' | 'memoryBytes'> {
  /** As in SealOrder. */
  readonly boundsAddressSpace: boolean;
}
