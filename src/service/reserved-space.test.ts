import { describe, expect, it } from 'vitest';
import type { Reservation } from '#wire';
import { type Appeared, ReservedSpace } from './reserved-space.ts';

function reservation(key: string, bytes: number, path: string | null = `/vm/${key}`): Reservation {
  return { key, store: 's', bytes, path, createdAt: '', expiresAt: '', state: 'held' };
}

const only = (path: string, image: Appeared) => (asked: string) => (asked === path ? image : undefined);
const nothing = (): undefined => undefined;

describe('what reservations still hold', () => {
  it('is all of it while no image is there', () => {
    const space = new ReservedSpace();
    const held = [reservation('a', 100), reservation('b', 50, null)];
    expect(space.look(held, nothing, 0)).toEqual([]);
    expect(space.sumOf(held)).toBe(150);
  });

  it('is what the image that is under way does not cover yet', () => {
    const space = new ReservedSpace();
    const held = [reservation('a', 100)];
    expect(space.look(held, only('/vm/a', { commitment: 30, openForWriting: true }), 0)).toEqual([]);
    expect(space.sumOf(held)).toBe(70);
  });

  it('is all of it under a key that was held for another image, which is still under way', () => {
    const space = new ReservedSpace();
    const before = reservation('a', 100, '/vm/old');
    const now = reservation('a', 100, '/vm/new');
    space.look([now, before], only('/vm/old', { commitment: 30, openForWriting: true }), 0);
    expect(space.sumOf([now])).toBe(100);
    expect(space.sumOf([now, before])).toBe(170);
  });

  it('ends when the commitment of the image reaches the reserved bytes', () => {
    const space = new ReservedSpace();
    const held = [reservation('a', 100), reservation('b', 100)];
    expect(space.look(held, only('/vm/a', { commitment: 100, openForWriting: true }), 0)).toEqual([held[0]]);
  });

  it('ends when a smaller image has not changed and is not open for writing', () => {
    const space = new ReservedSpace();
    const held = [reservation('a', 100)];
    const at = (commitment: number, openForWriting: boolean, nowMs: number): Reservation[] =>
      space.look(held, only('/vm/a', { commitment, openForWriting }), nowMs);
    expect(at(30, false, 0)).toEqual([]);
    expect(at(40, false, 9_000)).toEqual([]);
    expect(at(40, true, 30_000)).toEqual([]);
    expect(at(40, false, 30_000)).toEqual(held);
  });

  it('is all of it again when the image has gone before it was finished', () => {
    const space = new ReservedSpace();
    const held = [reservation('a', 100)];
    space.look(held, only('/vm/a', { commitment: 60, openForWriting: false }), 0);
    space.look(held, nothing, 1000);
    expect(space.sumOf(held)).toBe(100);
  });

  it('is the largest of several for one path: one image can be there', () => {
    const space = new ReservedSpace();
    const held = [reservation('a', 100, '/vm/x'), reservation('b', 60, '/vm/x'), reservation('c', 10)];
    expect(space.sumOf(held)).toBe(110);
    expect(space.sumBeside(held, { bytes: 60, path: '/vm/x' })).toBe(50);
    expect(space.sumBeside(held, { bytes: 130, path: '/vm/x' })).toBe(10);
    expect(space.sumBeside(held, { bytes: 60, path: null })).toBe(110);
  });
});
