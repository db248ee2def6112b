/** Cooperative scheduling: long work yields to the event loop at intervals, so that requests are answered meanwhile. */

declare function setImmediate(callback: () => void): unknown;

/** Longest time without a pause, in milliseconds. A request waits for at most this and one step of the work. */
const SLICE_MS = 5;

let sliceStart = 0;
let sharedPause: Promise<void> | undefined;

/**
 * The pause that is due, to be awaited; undefined while the current time slice lasts.
 *
 * All callers share one pause: together they use one slice, not one slice each.
 */
export function pauseDue(): Promise<void> | undefined {
  if (performance.now() - sliceStart < SLICE_MS) return undefined;
  sharedPause ??= endSlice();
  return sharedPause;
}

async function endSlice(): Promise<void> {
  await yieldToEventLoop();
  sharedPause = undefined;
  sliceStart = performance.now();
}

/** Resolves after the pending I/O callbacks have run. */
export function yieldToEventLoop(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** Runs `steps` to the end in shared time slices; returns their result. */
export async function runCooperatively<T>(steps: Generator<void, T>): Promise<T> {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    const pause = pauseDue();
    if (pause !== undefined) await pause;
  }
}

/** Slice of work that a request waits for, in milliseconds: longer, since a scan must not slow it down. */
const OWN_SLICE_MS = 10;

/** As `runCooperatively`, in time slices of its own. */
export async function runInOwnSlices<T>(steps: Generator<void, T>): Promise<T> {
  for (let start = performance.now(); ; ) {
    const { done, value } = steps.next();
    if (done === true) return value;
    if (performance.now() - start < OWN_SLICE_MS) continue;
    await yieldToEventLoop();
    start = performance.now();
  }
}

/** Runs `steps` to the end without a pause; returns their result. */
export function runSync<T>(steps: Generator<void, T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}
