/** A client of a running daemon, over its Unix socket. */
export { DaemonClient, socketPath } from './daemon-client.ts';
