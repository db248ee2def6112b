import { closeSync, openSync } from 'node:fs';
import { expect, it } from 'vitest';
import { descriptorsLeft } from './descriptors-left.ts';

it('descriptorsLeft() counts open descriptors', () => {
  const before = descriptorsLeft();
  const opened = Array.from({ length: 20 }, () => openSync('/dev/null', 'r'));
  const during = descriptorsLeft();
  for (const fd of opened) closeSync(fd);
  // Other code in this process opens and closes files meanwhile.
  expect(Math.abs(before - during - 20)).toBeLessThan(10);
});
