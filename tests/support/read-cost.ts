/** The reads of this process, counted by the kernel: a cost that is the same on a busy machine as on an idle one. */
import { readFileSync } from 'node:fs';

/** Bytes and system calls. */
export interface ReadCost {
  readonly bytes: number;
  readonly calls: number;
}

/** Source: proc(5), /proc/pid/io, rchar and syscr. */
export function readsSoFar(): ReadCost {
  const text = readFileSync('/proc/self/io', 'latin1');
  const field = (name: string): number => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1]);
  return { bytes: field('rchar'), calls: field('syscr') };
}

/** The reads since `before`. */
export function readsSince(before: ReadCost): ReadCost {
  const now = readsSoFar();
  return { bytes: now.bytes - before.bytes, calls: now.calls - before.calls };
}
