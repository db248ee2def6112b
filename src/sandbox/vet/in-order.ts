/** Tasks that run ahead of the one who takes their results; the results come in order. */

export interface InOrderOptions<T, R> {
  /** How many tasks are under way at most, the one waited for included. */
  readonly atOnce: number;
  readonly signal: AbortSignal | undefined;
  /** Does not throw. Its signal is aborted by `signal`, and when its result is no longer needed. */
  readonly task: (item: T, signal: AbortSignal) => Promise<R>;
}

/**
 * The results of `task` for each item, in the order of the items. A consumer that stops early ends and awaits the running tasks.
 *
 * Throws: the signal's reason; what `items` throws.
 */
export async function* inOrder<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  { atOnce, signal, task }: InOrderOptions<T, R>,
): AsyncGenerator<R, void> {
  const ending = new AbortController();
  const either = signal === undefined ? ending.signal : AbortSignal.any([signal, ending.signal]);
  const running: Promise<R>[] = [];
  const next = async (): Promise<R> => {
    const result = await (running.shift() as Promise<R>);
    signal?.throwIfAborted();
    return result;
  };
  try {
    for await (const item of items) {
      signal?.throwIfAborted();
      running.push(task(item, either));
      if (running.length >= atOnce) yield await next();
    }
    while (running.length > 0) yield await next();
  } finally {
    ending.abort();
    await Promise.allSettled(running);
  }
}
