/**
 * A resource of the API that a component displays: fetched when it appears and whenever its address or epoch changes.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { read } from './api.ts';

export interface Resource<T> {
  /** The latest value; while `isLoading` it may be that of the previous address. */
  readonly value: T | undefined;
  readonly error: Error | undefined;
  readonly isLoading: boolean;
}

/** Minimum time between requests for a resource that changes many times a second. */
const AT_MOST_EVERY_MS = 1500;

type Answer<T> = { readonly value: T } | { readonly error: Error };

/** Polls one address, with at most one request at a time. */
class Asker<T> {
  readonly #path: string;
  readonly #tell: (answer: Answer<T>) => void;
  readonly #abort = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isAsking = false;
  #isStale = false;
  #askedMs = 0;

  constructor(path: string, tell: (answer: Answer<T>) => void) {
    this.#path = path;
    this.#tell = tell;
    void this.#ask();
  }

  /** The value shown is out of date. */
  again(): void {
    if (this.#isAsking) this.#isStale = true;
    else this.#timer ??= setTimeout(() => void this.#ask(), Math.max(0, this.#askedMs + AT_MOST_EVERY_MS - Date.now()));
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#abort.abort();
  }

  async #ask(): Promise<void> {
    this.#timer = undefined;
    this.#isAsking = true;
    this.#isStale = false;
    this.#askedMs = Date.now();
    const answer = await read<T>(this.#path, this.#abort.signal).then(
      (value) => ({ value }),
      (error: unknown) => ({ error: error as Error }),
    );
    this.#isAsking = false;
    if (this.#abort.signal.aborted) return;
    this.#tell(answer);
    if (this.#isStale) this.again();
  }
}

/** The JSON at `path`, or null. A new `epoch` requests it again; the old value stays until the response arrives. */
export function useResource<T>(path: string | null, epoch = 0): Resource<T> {
  const [held, setHeld] = useState<Resource<T>>({ value: undefined, error: undefined, isLoading: path !== null });
  const asker = useRef<{ readonly asker: Asker<T>; epoch: number } | undefined>(undefined);
  useEffect(() => {
    if (path === null) return undefined;
    setHeld((before) => ({ ...before, isLoading: true }));
    const one = new Asker<T>(path, (answer) => {
      setHeld((before) => ({ value: before.value, error: undefined, isLoading: false, ...answer }));
    });
    asker.current = { asker: one, epoch };
    return () => one.stop();
    // A new epoch uses the same poller, below.
  }, [path]);
  useEffect(() => {
    if (asker.current === undefined || asker.current.epoch === epoch) return;
    asker.current.epoch = epoch;
    asker.current.asker.again();
  }, [epoch]);
  return held;
}
