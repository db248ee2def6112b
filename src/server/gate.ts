/**
 * Who is let in. By the Unix socket: whoever the socket's permissions let connect. By TCP: whoever has the token; and
 * without a token, on loopback, everybody on this machine, but no page of another site that a browser here has open:
 * its requests name another host (DNS rebinding) or another origin.
 */
import type { IncomingMessage } from 'node:http';
import { PlimsollError } from '#base';
import { carriesToken } from './token.ts';

/** A way in, as its owner set it up. */
export interface Door {
  readonly kind: 'tcp' | 'unix';
  /** Undefined: none is asked for. */
  readonly token: string | undefined;
  /** Host names by which it may be called, without port; undefined: by any. */
  readonly hosts: readonly string[] | undefined;
}

export const LOOPBACK_HOSTS: readonly string[] = ['localhost', '127.0.0.1', '[::1]'];

const DOING = 'answer the request';

/** Throws: refused, TOKEN_WRONG (401), HOST_FOREIGN (421), ORIGIN_FOREIGN (403). */
export function checkEntry(request: IncomingMessage, door: Door, isOpenToAll: boolean): void {
  if (door.kind === 'unix') return;
  const { host, origin, authorization } = request.headers;
  refuseForeignHost(host ?? '', door);
  if (origin !== undefined) refuseForeignOrigin(origin, host ?? '');
  if (request.headers['sec-fetch-site'] === 'cross-site' && request.headers['sec-fetch-mode'] !== 'navigate')
    throw foreignOrigin('another site');
  if (door.token === undefined || isOpenToAll || carriesToken(authorization, door.token)) return;
  throw new PlimsollError('refused', 'TOKEN_WRONG', {
    doing: DOING,
    found: authorization === undefined ? 'no token' : 'a wrong token',
    expected: 'the header Authorization: Bearer TOKEN',
  });
}

function refuseForeignHost(host: string, door: Door): void {
  const name = host.replace(/:\d*$/, '').toLowerCase();
  if (door.hosts === undefined || door.hosts.includes(name)) return;
  throw new PlimsollError('refused', 'HOST_FOREIGN', {
    doing: DOING,
    field: 'Host',
    found: host,
    expected: door.hosts.join(', '),
  });
}

/** A page may ask only the server that it came from. */
function refuseForeignOrigin(origin: string, host: string): void {
  if (origin !== `http://${host}` && origin !== `https://${host}`) throw foreignOrigin(origin);
}

function foreignOrigin(found: string): PlimsollError {
  return new PlimsollError('refused', 'ORIGIN_FOREIGN', {
    doing: DOING,
    field: 'Origin',
    found,
    expected: 'a page of this server, or no browser',
  });
}
