import { expect, it } from 'vitest';
import { factsOf, storedMap } from '../../tests/support/facts.ts';
import { luksFigures } from './luks-figures.ts';

const MiB = 1024 * 1024;
const HEADER = { version: 1, capacity: 3 * MiB, payloadOffset: MiB, cipher: 'aes-xts-plain64', uuid: '' } as const;
const figures = (runs: readonly (readonly [number, number])[]) =>
  luksFigures({ capacity: 3 * MiB, header: HEADER }, factsOf(4 * MiB, { map: storedMap(runs) }));

it('commits the whole file, and expects the keyslots to stay as they are', () => {
  expect(figures([[0, 65_536]])).toMatchObject({ capacity: 3 * MiB, commitment: 4 * MiB, expected: 3 * MiB + 65_536 });
  expect(figures([[0, 2 * MiB]])).toMatchObject({ commitment: 4 * MiB, expected: 4 * MiB, allocation: 2 * MiB });
  expect(figures([])).toMatchObject({ commitment: 4 * MiB, expected: 3 * MiB });
});

it('expects the whole file where the filesystem gives no map', () => {
  const facts = factsOf(4 * MiB, { map: undefined, allocation: MiB });
  expect(luksFigures({ capacity: 3 * MiB, header: HEADER }, facts)).toMatchObject({ commitment: 4 * MiB, expected: 4 * MiB });
});
