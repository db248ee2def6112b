/**
 * Reports the state of the service to the service manager. Source: sd_notify(3), "Notification Protocol".
 *
 * The protocol is one datagram to a Unix socket, which Node cannot send. Without koffi the program `systemd-notify` sends
 * it; the unit then needs NotifyAccess=all, for that is another process.
 */
import { execFile } from 'node:child_process';
import { ERRNO, type Ffi, loadFfi } from './ffi.ts';

/** Tries while the manager's queue is full, and the time between them: half a second in all. */
const MAX_TRIES = 20;
const TRY_AGAIN_MS = 25;
const TOOL_TIMEOUT_MS = 5000;

/**
 * Sends `state`, lines of `KEY=value`: `READY=1`, `STATUS=scanning`, `STOPPING=1`. Returns whether it was sent: false where no
 * manager asks for it, or none can be reached. Never throws: a service runs without its manager, too.
 */
export async function notifyManager(state: string): Promise<boolean> {
  const socket = process.env['NOTIFY_SOCKET'] ?? '';
  const address = addressOf(socket);
  if (address === undefined) return false;
  const ffi = await loadFfi();
  return ffi === undefined ? notifyByTool(state) : send(ffi, address, Buffer.from(state));
}

/**
 * Tells the manager that the event loop turns, twice in the time after which it would end the service (WATCHDOG_USEC);
 * does nothing where it does not ask. Keeps no process alive. Returns what ends it; may be called twice.
 */
export function pingWatchdog(): () => void {
  const { WATCHDOG_USEC, WATCHDOG_PID } = process.env;
  const milliseconds = Number(WATCHDOG_USEC ?? 0) / 1000;
  const isForUs = WATCHDOG_PID === undefined || Number(WATCHDOG_PID) === process.pid;
  if (!isForUs || !(milliseconds >= 2)) return () => {};
  const timer = setInterval(() => void notifyManager('WATCHDOG=1'), Math.min(milliseconds / 2, 2 ** 31 - 1));
  timer.unref();
  return () => clearInterval(timer);
}

/** sun_path of a path or of an abstract name (`@name`); undefined for what is neither: systemd has `vsock:` too, for machines. */
function addressOf(socket: string): Buffer | undefined {
  if (socket.length < 2) return undefined;
  if (socket.startsWith('@')) return Buffer.from(`\0${socket.slice(1)}`);
  return socket.startsWith('/') ? Buffer.from(socket) : undefined;
}

async function send(ffi: Ffi, address: Buffer, message: Buffer): Promise<boolean> {
  for (let attempt = 1; ; attempt += 1) {
    const result = ffi.sendDatagram(address, message);
    if (result >= 0) return true;
    if (result !== -ERRNO.EAGAIN || attempt === MAX_TRIES) return false;
    await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS));
  }
}

function notifyByTool(state: string): Promise<boolean> {
  const lines = state.split('\n').filter((line) => line !== '');
  return new Promise((resolve) => {
    execFile('systemd-notify', ['--', ...lines], { timeout: TOOL_TIMEOUT_MS }, (error) => resolve(error === null));
  });
}
