import { describe, expect, it } from 'vitest';
import { inOrder } from './in-order.ts';

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

describe('inOrder()', () => {
  it('gives results in the order of the items, with so many tasks under way', async () => {
    let underWay = 0;
    let most = 0;
    const task = async (item: number): Promise<number> => {
      underWay += 1;
      most = Math.max(most, underWay);
      await after(10 - item);
      underWay -= 1;
      return item * 2;
    };
    expect(await all(inOrder([1, 2, 3, 4, 5, 6], { atOnce: 3, signal: undefined, task }))).toEqual([2, 4, 6, 8, 10, 12]);
    expect(most).toBe(3);
  });

  it('ends and awaits the running tasks when the consumer stops', async () => {
    const ended: number[] = [];
    const task = async (item: number, signal: AbortSignal): Promise<number> => {
      if (item === 1) return item;
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve);
      });
      await after(5);
      ended.push(item);
      return item;
    };
    for await (const result of inOrder([1, 2, 3], { atOnce: 2, signal: undefined, task })) {
      expect(result).toBe(1);
      break;
    }
    expect(ended).toEqual([2]);
  });

  it('throws the reason of its signal', async () => {
    const controller = new AbortController();
    const task = (item: number): Promise<number> => {
      if (item === 2) controller.abort(new Error('enough'));
      return Promise.resolve(item);
    };
    await expect(all(inOrder([1, 2, 3], { atOnce: 1, signal: controller.signal, task }))).rejects.toThrow('enough');
  });
});
