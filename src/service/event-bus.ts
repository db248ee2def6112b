/** Delivers the events of a daemon to its subscribers, each with the id of the host. */
import { hostIdentity } from '#host';
import type { ServeEvent } from '#wire';

type WithoutHost<E> = E extends ServeEvent ? Omit<E, 'host'> : never;
export type LocalEvent = WithoutHost<ServeEvent>;

export class EventBus {
  readonly #listeners = new Set<(event: ServeEvent) => void>();

  /** Returns the function that ends the subscription. */
  subscribe(listener: (event: ServeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  emit(event: LocalEvent): void {
    const full: ServeEvent = { ...event, host: hostIdentity().id };
    for (const listener of this.#listeners) listener(full);
  }

  close(): void {
    this.#listeners.clear();
  }
}
