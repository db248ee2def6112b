/**
 * Server-sent events: every subscriber gets the service's events as they happen, after a `hello` with all stores. A
 * subscriber that reads too slowly is cut off, and comes again by itself: it gets all stores anew.
 */
import type { ServerResponse } from 'node:http';
import { PlimsollError } from '#base';
import type { StoreService } from '#pool';
import type { HelloEvent, ServeEvent } from '#wire';

export interface EventLimits {
  readonly subscribers: number;
  /** Bytes that wait for a subscriber to be read; with more it is cut off. */
  readonly queuedBytes: number;
  readonly heartbeatMs: number;
}

export const EVENT_LIMITS: EventLimits = { subscribers: 64, queuedBytes: 8 * 1024 * 1024, heartbeatMs: 15_000 };

/** When a browser that lost the stream comes again. */
const RETRY_MS = 3000;

export class EventStream {
  readonly #service: StoreService;
  readonly #limits: EventLimits;
  readonly #subscribers = new Set<ServerResponse>();
  readonly #unsubscribe: () => void;
  readonly #heartbeat: NodeJS.Timeout;

  constructor(service: StoreService, limits: EventLimits) {
    this.#service = service;
    this.#limits = limits;
    this.#unsubscribe = service.subscribe((event) => this.#tell(event));
    this.#heartbeat = setInterval(() => this.#toAll(': still here\n\n'), limits.heartbeatMs).unref();
  }

  /** Throws: busy, SUBSCRIBERS_MANY. */
  requireRoom(): void {
    if (this.#subscribers.size < this.#limits.subscribers) return;
    throw new PlimsollError('busy', 'SUBSCRIBERS_MANY', {
      doing: 'subscribe to the events',
      found: `${this.#subscribers.size} subscribers`,
      expected: 'fewer; retry later',
    });
  }

  /** Sends the head, the hello, and from now on every event. */
  add(response: ServerResponse, headers: Readonly<Record<string, string>>): void {
    response.writeHead(200, {
      ...headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    this.#subscribers.add(response);
    response.on('close', () => this.#subscribers.delete(response));
    response.on('error', () => this.#subscribers.delete(response));
    const { host, stores } = this.#service.status();
    const hello: HelloEvent = { type: 'hello', host, stores };
    this.#send(response, `retry: ${RETRY_MS}\n${framed(hello)}`);
  }

  get size(): number {
    return this.#subscribers.size;
  }

  close(): void {
    clearInterval(this.#heartbeat);
    this.#unsubscribe();
    for (const response of this.#subscribers) response.end();
    this.#subscribers.clear();
  }

  #tell(event: ServeEvent): void {
    if (this.#subscribers.size > 0) this.#toAll(framed(event));
  }

  #toAll(text: string): void {
    for (const response of this.#subscribers) this.#send(response, text);
  }

  #send(response: ServerResponse, text: string): void {
    response.write(text);
    if (response.writableLength <= this.#limits.queuedBytes) return;
    this.#subscribers.delete(response);
    response.destroy();
  }
}

/** JSON has no line breaks of its own, so one `data:` line holds it whole. */
function framed(event: ServeEvent | HelloEvent): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}
