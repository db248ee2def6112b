/** The number of files that this process may still open. Source: proc_pid_limits(5), proc_pid_fd(5). */
import { readdirSync, readFileSync } from 'node:fs';

/** Descriptors that every process has, used where /proc is not available. */
const DEFAULT_LIMIT = 1024;

/** Of the soft limit, which Node raises to the hard one when it starts. At least 0. */
export function descriptorsLeft(): number {
  try {
    const [, soft = ''] = /^Max open files +(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
    const limit = soft === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(soft);
    return Math.max(0, limit - readdirSync('/proc/self/fd').length);
  } catch {
    return DEFAULT_LIMIT / 2;
  }
}
