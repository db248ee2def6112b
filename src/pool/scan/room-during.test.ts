import { describe, expect, it } from 'vitest';
import { roomDuring } from './store.ts';

describe('roomDuring', () => {
  it.each([
    ['the least, where that is enough', 100, 100],
    ['what is needed, where the least would not do and the most does', 150, 150],
    ['the most, where not even that is enough', 250, 200],
  ])('is %s', (_, needed, room) => {
    expect(roomDuring({ least: 100, most: 200 }, needed)).toBe(room);
  });
});
