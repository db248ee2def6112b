/**
 * Access control. Unix socket: every process that its permissions admit. TCP: requests with the token. Any user of
 * this machine reaches a loopback address, and so does the guest of a QEMU with user networking, as 10.0.2.2; without the
 * token they get the files of the dashboard and, where no administrator configured a token, figures without names. A page of
 * another site that a browser here has open names another host (DNS rebinding) or another origin.
 */
import type { IncomingMessage } from 'node:http';
import { PlimsollError } from '#base';
import { carriesToken } from './token.ts';

/** A way in, as its owner set it up. */
export interface Listener {
  readonly kind: 'tcp' | 'unix';
  /** Undefined: no request over TCP is authorized. */
  readonly token: string | undefined;
  /** Whether figures without paths are public. */
  readonly hasOpenMetrics: boolean;
  /** Host names by which it may be called, without port; undefined: by any. */
  readonly hosts: readonly string[] | undefined;
}

/**
 * The part of a route that a request without the token gets: `all` of it, `figures` without paths where the listener allows it,
 * or `nothing`.
 */
export type OpenPart = 'all' | 'figures' | 'nothing';

export const LOOPBACK_HOSTS: readonly string[] = ['localhost', '127.0.0.1', '[::1]'];

const DOING = 'answer the request';

/** `open`: the public part of the route. Throws: refused, TOKEN_WRONG (401), HOST_FOREIGN (421), ORIGIN_FOREIGN (403). */
export function authorize(request: IncomingMessage, listener: Listener, open: OpenPart): void {
  if (listener.kind === 'unix') return;
  const { host, origin, authorization } = request.headers;
  refuseForeignHost(host ?? '', listener);
  if (origin !== undefined) refuseForeignOrigin(origin, host ?? '');
  if (request.headers['sec-fetch-site'] === 'cross-site' && request.headers['sec-fetch-mode'] !== 'navigate')
    throw foreignOrigin('another site');
  if (open === 'all' || (open === 'figures' && listener.hasOpenMetrics) || isEntitled(request, listener)) return;
  throw new PlimsollError('refused', 'TOKEN_WRONG', {
    doing: DOING,
    found: authorization === undefined ? 'a missing token' : 'an invalid token',
    expected: listener.token === undefined ? 'a request on the Unix socket' : 'the header Authorization: Bearer TOKEN',
  });
}

/** Whether `request` may see and change everything: it came by the socket, or carries the token. */
export function isEntitled(request: IncomingMessage, listener: Listener): boolean {
  return listener.kind === 'unix' || (listener.token !== undefined && carriesToken(request.headers.authorization, listener.token));
}

function refuseForeignHost(host: string, listener: Listener): void {
  const name = host.replace(/:\d*$/, '').toLowerCase();
  if (listener.hosts === undefined || listener.hosts.includes(name)) return;
  throw new PlimsollError('refused', 'HOST_FOREIGN', {
    doing: DOING,
    field: 'Host',
    found: host,
    expected: listener.hosts.join(', '),
  });
}

/** A page may send requests only to the server that it came from. */
function refuseForeignOrigin(origin: string, host: string): void {
  if (origin !== `http://${host}` && origin !== `https://${host}`) throw foreignOrigin(origin);
}

function foreignOrigin(found: string): PlimsollError {
  return new PlimsollError('refused', 'ORIGIN_FOREIGN', {
    doing: DOING,
    field: 'Origin',
    found,
    expected: 'a same-origin request',
  });
}
