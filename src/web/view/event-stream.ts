/**
 * Parses server-sent events from chunks of text as they arrive. Source: HTML Living Standard, "Parsing an event stream".
 */

export interface StreamEvent {
  readonly type: string;
  readonly data: string;
}

/** Longest accepted line; the largest event is a hello with all stores. */
const MAX_PENDING = 64 * 1024 * 1024;

/** Call `push` with each chunk; it returns the events that are now complete. Throws: Error, for a line without end. */
export class EventStreamReader {
  #pending = '';
  #type = '';
  #data: string[] = [];

  push(piece: string): StreamEvent[] {
    const lines = (this.#pending + piece).split(/\r\n|\n|\r(?!$)/);
    this.#pending = lines.pop() ?? '';
    if (this.#pending.length > MAX_PENDING) throw new Error('The server sends an endless event');
    return lines.flatMap((line) => this.#take(line));
  }

  #take(line: string): StreamEvent[] {
    if (line === '') return this.#finish();
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.#type = value;
    if (field === 'data') this.#data.push(value);
    return [];
  }

  #finish(): StreamEvent[] {
    const event = { type: this.#type === '' ? 'message' : this.#type, data: this.#data.join('\n') };
    const isEmpty = this.#data.length === 0;
    this.#type = '';
    this.#data = [];
    return isEmpty ? [] : [event];
  }
}
