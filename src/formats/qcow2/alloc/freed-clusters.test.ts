import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FreedClusters } from './freed-clusters.ts';

/** The same, as a plain sorted list. */
class Naive {
  list: number[] = [];

  push(cluster: number): void {
    this.list.push(cluster);
    this.list.sort((a, b) => a - b);
  }

  takeConsecutive(count: number): number | undefined {
    const index = this.list.findIndex((start, at) => this.list[at + count - 1] === start + count - 1);
    return index < 0 ? undefined : this.list.splice(index, count)[0];
  }
}

const steps = fc.array(
  fc.oneof(
    fc.record({ free: fc.nat({ max: 60 }) }),
    fc.record({ freeRuns: fc.uniqueArray(fc.nat({ max: 6 }), { maxLength: 4 }) }),
    fc.record({ take: fc.integer({ min: 1, max: 5 }) }),
    fc.constant({ pop: true }),
  ),
  { maxLength: 60 },
);

describe('FreedClusters', () => {
  it('gives out the lowest cluster and the lowest run, whatever was given back in which order', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const [quick, naive] = [new FreedClusters(), new Naive()];
        for (const step of all) {
          if ('free' in step && !naive.list.includes(step.free)) {
            quick.push(step.free);
            naive.push(step.free);
          } else if ('freeRuns' in step) {
            const wanted = step.freeRuns.toSorted((a, b) => a - b).map((at) => ({ start: at * 10, end: at * 10 + 4 }));
            const runs = wanted.filter(({ start, end }) => !naive.list.some((one) => one >= start && one < end));
            quick.pushRuns(runs);
            for (const { start, end } of runs) for (let cluster = start; cluster < end; cluster += 1) naive.push(cluster);
          } else if ('take' in step) expect(quick.takeConsecutive(step.take)).toBe(naive.takeConsecutive(step.take));
          else if ('pop' in step && naive.list.length > 0) expect(quick.pop()).toBe(naive.list.shift());
          expect(quick.isEmpty).toBe(naive.list.length === 0);
          if (!quick.isEmpty) expect(quick.least()).toBe(naive.list[0]);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
