import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { prepareStateDirectory } from './state-file.ts';

let place: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'plimsoll-state-'));
});
afterEach(() => rmSync(place, { recursive: true }));

describe('the state directory', () => {
  it('is created with its parents, for its owner alone', () => {
    const path = join(place, 'a', 'b');
    expect(prepareStateDirectory(path)).toBe(path);
    expect(statSync(path).mode % 0o1000).toBe(0o700);
    expect(prepareStateDirectory(path)).toBe(path);
  });

  it('is refused if it cannot be created, without an endless wait', () => {
    expect(() => prepareStateDirectory('/proc/1/plimsoll/state')).toThrow(expect.objectContaining({ kind: 'not-found' }));
  });
});
