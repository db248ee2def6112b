/** The limits of a session. Each has its own error code, so that the caller learns which one was exceeded. */
import { GiB, MiB } from '#base';

export interface Limits {
  /** Of one request, by the clock, measured outside: from the start of the worker or the end of the request before it. */
  readonly wallMs: number;
  /** Of one request: bytes of its frames and of standard error, measured outside. */
  readonly outputBytes: number;
  /** Of the session: processor time of all threads; whole seconds, as the kernel counts it (RLIMIT_CPU). */
  readonly cpuSeconds: number;
  /** Of the session: private writable memory beyond that of an idle worker (RLIMIT_DATA): heap and buffers. In steps of 16 MiB. */
  readonly memoryBytes: number;
}

/**
 * Generous for a valid image: a survey of 16 TiB reads some 2 GiB of tables, and takes half a minute of processor time
 * and 300 MiB.
 */
export const DEFAULT_LIMITS: Limits = { wallMs: 120_000, cpuSeconds: 60, memoryBytes: GiB, outputBytes: 64 * MiB };

/** The limits that the worker sets on itself before it restricts its system calls: its one argument, as JSON. */
export interface WorkerOptions extends Pick<Limits, 'cpuSeconds' | 'memoryBytes'> {
  /** As in SealOptions. */
  readonly boundsAddressSpace: boolean;
}
