/** Long work in turns: whoever computes or reads for long lets the rest of the process have its turn in between. */

/** Longest time that work goes on without a pause. Requests to a daemon wait for at most this, and one step of the work. */
const TURN_MS = 5;

let turnBegan = performance.now();
let pause: Promise<void> | undefined;

/**
 * undefined as long as this turn may go on, else what to wait for.
 *
 * All who wait share one pause, so that together they take one turn and not one each.
 */
export function turnOver(): Promise<void> | undefined {
  if (performance.now() - turnBegan < TURN_MS) return undefined;
  pause ??= new Promise((resolve) => {
    setImmediate(() => {
      pause = undefined;
      turnBegan = performance.now();
      resolve();
    });
  });
  return pause;
}

/** What `steps` returns, its steps done in turns. */
export async function inTurns<T>(steps: Generator<void, T>): Promise<T> {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    const over = turnOver();
    if (over !== undefined) await over;
  }
}

/** Longest time that an answer is worked out without a pause: somebody waits for it, so it is not to share turns with a scan. */
const ANSWER_TURN_MS = 10;

/** As `inTurns`, in turns of its own. */
export async function inOwnTurns<T>(steps: Generator<void, T>): Promise<T> {
  for (let began = performance.now(); ; ) {
    const { done, value } = steps.next();
    if (done === true) return value;
    if (performance.now() - began < ANSWER_TURN_MS) continue;
    await new Promise((resolve) => setImmediate(resolve));
    began = performance.now();
  }
}

/** What `steps` returns, all of them done at once. */
export function atOnce<T>(steps: Generator<void, T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}
