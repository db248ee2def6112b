/**
 * Open files handed to a process that runs already: SCM_RIGHTS over a Unix socket of its own, one message for each list of
 * descriptors, in order.
 *
 * Source: unix(7), cmsg(3), linux/socket.h (SCM_MAX_FD).
 */
import { closeSync } from 'node:fs';
import { PlimsollError } from '#base';
import { loadFfi, loadDescriptorReceiver } from './ffi.ts';

/** SCM_MAX_FD: the descriptors that one message can carry. */
export const MAX_DESCRIPTORS_PER_MESSAGE = 253;

/** The parent's end. */
export interface DescriptorSender {
  /** The other end, which a child process inherits. */
  readonly childFd: number;
  /** To be called once the child has been started: its end then stays open in the child alone. */
  closeChildEnd(): void;
  /**
   * Sends duplicates of `fds`, 1 to MAX_DESCRIPTORS_PER_MESSAGE, without waiting. False where they could not be sent: the
   * queue is full, too many descriptors are in flight, or the other end is closed.
   */
  send(fds: readonly number[]): boolean;
  /** May be called twice. */
  close(): void;
}

/** undefined where koffi is missing, or a socket pair is not available. */
export async function openDescriptorSender(): Promise<DescriptorSender | undefined> {
  const ffi = await loadFfi();
  const pair = ffi?.socketPair();
  if (ffi === undefined || pair === undefined || typeof pair === 'number') return undefined;
  const [own, childFd] = pair;
  const open = new Set(pair);
  const close = (fd: number): void => {
    if (open.delete(fd)) closeSync(fd);
  };
  return {
    childFd,
    closeChildEnd: () => close(childFd),
    send: (fds) => open.has(own) && ffi.sendDescriptors(own, fds) === 1,
    close: () => {
      close(childFd);
      close(own);
    },
  };
}

/** Waits for the next message on `fd`; its descriptors, exactly `count`. Throws: bug, DESCRIPTORS_MISSING. */
export type ReceiveDescriptors = (fd: number, count: number) => readonly number[];

/** Loaded before system calls are restricted. Throws: unsupported, SANDBOX_UNAVAILABLE. */
export async function descriptorReceiver(): Promise<ReceiveDescriptors> {
  const receive = await loadDescriptorReceiver();
  if (receive === undefined) {
    throw new PlimsollError('unsupported', 'SANDBOX_UNAVAILABLE', {
      doing: 'sandbox the reader of the image',
      found: 'koffi cannot be loaded inside',
      expected: 'a koffi that can be loaded',
    });
  }
  return (fd, count) => {
    const fds = receive(fd, count);
    if (typeof fds !== 'number' && fds.length === count) return fds;
    throw new PlimsollError('bug', 'DESCRIPTORS_MISSING', {
      doing: 'receive open files',
      found: typeof fds === 'number' ? `error ${-fds}` : `${fds.length} descriptors`,
      expected: `${count} descriptors`,
    });
  };
}
