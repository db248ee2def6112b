import { closeSync, openSync } from 'node:fs';
import { expect, it } from 'vitest';
import { descriptorsLeft } from './descriptors-left.ts';

it('descriptorsLeft() counts what is open', () => {
  const before = descriptorsLeft();
  const opened = Array.from({ length: 20 }, () => openSync('/dev/null', 'r'));
  const during = descriptorsLeft();
  for (const fd of opened) closeSync(fd);
  // Others of this process open and close meanwhile.
  expect(Math.abs(before - during - 20)).toBeLessThan(10);
});
