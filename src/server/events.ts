/**
 * Server-sent events: every subscriber gets the service's events as they happen, after a `hello` with all stores. A
 * subscriber that reads too slowly is cut off, and comes again by itself: it gets all stores anew.
 */
import type { ServerResponse } from 'node:http';
import { PlimsollError } from '#base';
import type { StoreService } from '#service';
import type { HelloEvent, ServeEvent } from '#wire';

export interface EventLimits {
  readonly subscribers: number;
  /** Bytes that wait for a subscriber to be read; with more it is cut off. */
  readonly queuedBytes: number;
  readonly heartbeatMs: number;
}

export const EVENT_LIMITS: EventLimits = { subscribers: 64, queuedBytes: 8 * 1024 * 1024, heartbeatMs: 15_000 };

/** Delay before a browser that lost the stream reconnects. */
const RETRY_MS = 3000;

export class EventStream {
  readonly #service: StoreService;
  readonly #limits: EventLimits;
  readonly #subscribers = new Set<ServerResponse>();
  /** Events for subscribers whose `hello` is not sent yet. */
  readonly #early = new Map<ServerResponse, string[]>();
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
    if (this.size < this.#limits.subscribers) return;
    throw new PlimsollError('busy', 'SUBSCRIBERS_MANY', {
      doing: 'subscribe to the events',
      found: `${this.size} subscribers`,
      expected: 'fewer; retry later',
    });
  }

  /** Sends the head, the hello, and from then on every event. Throws: errors of the service, before anything is sent. */
  async add(response: ServerResponse, headers: Readonly<Record<string, string>>): Promise<void> {
    const early: string[] = [];
    this.#early.set(response, early);
    try {
      const { host, stores } = await this.#service.status();
      const hello: HelloEvent = { type: 'hello', host, stores };
      response.writeHead(200, {
        ...headers,
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      });
      this.#subscribers.add(response);
      response.on('close', () => this.#subscribers.delete(response));
      response.on('error', () => this.#subscribers.delete(response));
      this.#send(response, `retry: ${RETRY_MS}\n${framed(hello)}`);
      for (const text of early) this.#send(response, text);
    } finally {
      this.#early.delete(response);
    }
  }

  get size(): number {
    return this.#subscribers.size + this.#early.size;
  }

  close(): void {
    clearInterval(this.#heartbeat);
    this.#unsubscribe();
    for (const response of this.#subscribers) response.end();
    this.#subscribers.clear();
  }

  #tell(event: ServeEvent): void {
    if (this.size === 0) return;
    const text = framed(event);
    for (const early of this.#early.values()) early.push(text);
    this.#toAll(text);
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
