/** `task` for each element in order, with at most `width` under way; the results in the order of the elements. */
export async function inTurns<T, R>(width: number, elements: readonly T[], task: (element: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < elements.length) {
      const index = next++;
      results[index] = await task(elements[index] as T);
    }
  };
  await Promise.all(Array.from({ length: width }, work));
  return results;
}

/** A gate that lets `width` tasks through at a time, in the order they came. */
export function gate(width: number): <R>(task: () => Promise<R>) => Promise<R> {
  let free = width;
  const waiting: (() => void)[] = [];
  return async (task) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await task();
    } finally {
      const successor = waiting.shift();
      if (successor === undefined) free++;
      else successor();
    }
  };
}
