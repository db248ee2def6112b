/** TCP and Unix-socket listeners of one application, and their graceful shutdown. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { rm } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import type { FastifyBaseLogger } from 'fastify';
import { asPlimsollError, PlimsollError } from '#base';
import type { StoreService } from '#service';
import { hostAndPort, isLoopback, type TcpAddress } from './address.ts';
import { buildApp } from './app.ts';
import { EVENT_LIMITS, type EventLimits, EventStream } from './events.ts';
import { type Listener, LOOPBACK_HOSTS } from './access.ts';
import { listenOnSocket } from './socket-file.ts';

export interface ServerOptions {
  readonly service: StoreService;
  readonly version: string;
  readonly log: FastifyBaseLogger;
  /** Undefined: no TCP. */
  readonly listen: TcpAddress | undefined;
  /** Path of the Unix socket; undefined: none. */
  readonly socket: string | undefined;
  /** Asked for by TCP. Without one, only the dashboard's files and figures without names are served there. */
  readonly token: AccessToken | undefined;
  readonly webDirectory: string | undefined;
  /** The user id at the other end of a connection to the Unix socket, for quotas; undefined: unknown. */
  readonly userOf?: (socket: Socket) => number | undefined;
  readonly limits?: Partial<ServerLimits>;
}

export interface AccessToken {
  readonly text: string;
  /**
   * An administrator configured it: then other addresses and host names than those of this machine are served, and nothing
   * but the dashboard's files without it. One that was generated serves loopback addresses.
   */
  readonly isConfigured: boolean;
}

export interface ServerLimits {
  readonly events: EventLimits;
  /** Of each listener: above this number of open connections, requests of later ones are refused; above twice that, connections. */
  readonly connections: number;
  /** Time limits of the head of a request, and of the whole request. */
  readonly headMs: number;
  readonly requestMs: number;
  /** Until a decision has to be there. */
  readonly decisionMs: number;
}

export interface RunningServer {
  /** `http://127.0.0.1:9464`; null without TCP. */
  readonly url: string | null;
  readonly socket: string | null;
  /** Ends within two seconds, whatever the clients do. May be called twice. */
  close(): Promise<void>;
}

const LIMITS: ServerLimits = { events: EVENT_LIMITS, connections: 256, headMs: 10_000, requestMs: 30_000, decisionMs: 30_000 };
const MAX_HEADER_BYTES = 16 * 1024;
const GRACE_MS = 1500;

/**
 * Throws: usage, LISTEN_NEEDS_TOKEN; conflict, SOCKET_IN_USE; io, when an address is taken; see listenOnSocket.
 */
export async function openServer(options: ServerOptions): Promise<RunningServer> {
  const { listen, socket, service, token } = options;
  if (listen !== undefined) refuseOpenAddress(listen, token);
  const limits = { ...LIMITS, ...options.limits };
  const events = new EventStream(service, limits.events);
  const listeners = new Listeners(limits);
  const holderOf = (one: Socket): string | undefined => {
    if (listeners.of(one)?.kind === 'tcp') return 'the token';
    const user = options.userOf?.(one);
    return user === undefined ? undefined : `user ${user}`;
  };
  const app = await buildApp({ ...options, events, decisionMs: limits.decisionMs, holderOf, listenerOf: (one) => listeners.of(one) });
  const handle: Handler = (request, response) => app.routing(request, response);
  const close = async (): Promise<void> => {
    events.close();
    await listeners.close();
    if (socket !== undefined && listeners.hasSocket) await rm(socket, { force: true });
    await app.close();
  };
  try {
    const url = listen === undefined ? null : await listeners.openTcp(listen, token, handle);
    if (socket !== undefined) await listeners.openSocket(socket, handle);
    let closing: Promise<void> | undefined;
    return { url, socket: socket ?? null, close: () => (closing ??= close()) };
  } catch (error) {
    await close();
    throw error;
  }
}

function refuseOpenAddress(listen: TcpAddress, token: AccessToken | undefined): void {
  if (token?.isConfigured === true || isLoopback(listen.host)) return;
  throw new PlimsollError('usage', 'LISTEN_NEEDS_TOKEN', {
    doing: `listen on ${hostAndPort(listen)}`,
    found: 'no token_file',
    expected: 'token_file (required: the address is reachable from other hosts)',
  });
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

class Listeners {
  readonly #limits: ServerLimits;
  readonly #servers: Server[] = [];
  readonly #listeners = new WeakMap<Socket, Listener>();
  hasSocket = false;

  constructor(limits: ServerLimits) {
    this.#limits = limits;
  }

  of(socket: Socket): Listener | undefined {
    return this.#listeners.get(socket);
  }

  /** The address as a URL. */
  async openTcp(address: TcpAddress, token: AccessToken | undefined, handler: Handler): Promise<string> {
    const isConfigured = token?.isConfigured === true;
    const hosts = isConfigured ? undefined : LOOPBACK_HOSTS;
    const server = this.#open({ kind: 'tcp', token: token?.text, hasOpenMetrics: !isConfigured, hosts }, handler);
    const listening = new Promise<void>((resolve, reject) => {
      server.once('listening', resolve);
      server.once('error', reject);
    });
    server.listen(address.port, address.host);
    try {
      await listening;
    } catch (thrown) {
      throw asPlimsollError(thrown, `listen on ${hostAndPort(address)}`);
    }
    return `http://${hostAndPort({ host: address.host, port: (server.address() as AddressInfo).port })}`;
  }

  async openSocket(path: string, handler: Handler): Promise<void> {
    await listenOnSocket(this.#open({ kind: 'unix', token: undefined, hasOpenMetrics: true, hosts: undefined }, handler), path);
    this.hasSocket = true;
  }

  /** Answers that are being given may end, connections that wait end at once, and after the grace all do. */
  async close(): Promise<void> {
    const ends = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    for (const server of this.#servers) server.closeIdleConnections();
    const timer = setTimeout(() => {
      for (const server of this.#servers) server.closeAllConnections();
    }, GRACE_MS);
    await Promise.all(ends);
    clearTimeout(timer);
  }

  #open(listener: Listener, handler: Handler): Server {
    const { headMs, requestMs, connections } = this.#limits;
    const options = {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: headMs,
      requestTimeout: requestMs,
      connectionsCheckingInterval: 1000,
    };
    const server = createServer(options, handler);
    server.maxConnections = 2 * connections;
    // Each listener counts its own connections: those to the TCP address must not use up the places on the Unix socket.
    let open = 0;
    server.on('connection', (socket: Socket) => {
      open += 1;
      socket.on('close', () => {
        open -= 1;
      });
      if (open <= connections) this.#listeners.set(socket, listener);
    });
    server.on('clientError', answerUnparsed);
    this.#servers.push(server);
    return server;
  }
}

/** A malformed or late request still gets the common error body. */
function answerUnparsed(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const doing = 'parse request';
  const isLarge = error.code === 'HPE_HEADER_OVERFLOW';
  const problem = isLarge
    ? new PlimsollError('over-budget', 'HEADERS_TOO_LARGE', {
        doing,
        found: 'an address or headers that are too long',
        expected: 'at most 16 KiB',
      })
    : new PlimsollError('usage', 'REQUEST_INVALID', {
        doing,
        found: 'a malformed or incomplete HTTP/1.1 request',
        expected: 'a complete request in time',
      });
  const status = isLarge ? '431 Request Header Fields Too Large' : '400 Bad Request';
  const body = JSON.stringify({ error: problem.toJSON() });
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
