/**
 * Milliseconds after which a test considers a process hung.
 *
 * Only a hang lasts this long, however busy the machine is: no test measures speed with it. Latency targets are in bench/.
 */
export const HANG_MS = 10 * 60_000;
