/**
 * Descriptors with an open file description of their own. Flags and the offset belong to the description: a process that gets
 * a duplicate of ours could set O_DIRECT or O_APPEND on it, and we would read with them.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { asPlimsollError } from '#base';

const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = constants;

export interface ReopenedFiles extends Disposable {
  /** In the order of the originals, open for reading only. */
  readonly fds: readonly number[];
}

/**
 * The files behind `fds`, each opened anew for reading. Dispose of them once the process that gets them has started.
 *
 * Throws: io, where a file may not be opened again or no descriptor is left.
 */
export function reopenedForReading(fds: readonly number[]): ReopenedFiles {
  const opened: number[] = [];
  const close = (): void => {
    for (const fd of opened.splice(0)) closeSync(fd);
  };
  try {
    for (const fd of fds) opened.push(openSync(`/proc/self/fd/${fd}`, O_RDONLY + O_NONBLOCK + O_NOCTTY));
  } catch (error) {
    close();
    throw asPlimsollError(error, 'open the image for the sandboxed reader');
  }
  return { fds: [...opened], [Symbol.dispose]: close };
}
