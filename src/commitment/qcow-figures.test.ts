import { expect, it } from 'vitest';
import { memoryDevice } from '#block';
import { openQcow } from '#formats';
import { component } from '#wire';
import { factsOf, storedMap } from '../../tests/support/facts.ts';
import { aQcow, CLUSTER, PLACES, type QcowBuilder } from '../../tests/support/qcow-builder.ts';
import type { Figures } from './figures.ts';
import { qcowFigures } from './qcow-figures.ts';

const MiB = 1024 * 1024;

async function figuresOf(image: QcowBuilder, tail = 0, facts = {}): Promise<Figures> {
  const bytes = Buffer.concat([image.bytes(), Buffer.alloc(tail)]);
  const opened = await openQcow(memoryDevice(bytes));
  return qcowFigures(await opened.survey(), factsOf(bytes.length, facts));
}

it('appends each cluster without data and each missing table behind the last cluster', async () => {
  const image = aQcow().withEntry('l2', 0, PLACES.data);
  // 1,023 clusters, and a table of one: the disk of 4 MiB needs two.
  const maxLength = 6 * CLUSTER + 1023 * CLUSTER + CLUSTER;
  expect(await figuresOf(image)).toMatchObject({ capacity: 4 * MiB, maxLength, commitment: maxLength, expected: maxLength });
  expect((await figuresOf(image, 100)).maxLength).toBe(maxLength + CLUSTER);
});

it('counts a compressed cluster twice: where it is, and where it is written to', async () => {
  const full = aQcow().withHeader('size', CLUSTER).withCompressed(0, new Uint8Array(CLUSTER).fill(1));
  expect(await figuresOf(full)).toMatchObject({ maxLength: 8 * CLUSTER, commitment: 8 * CLUSTER });
});

it('adds nothing to an image that is full', async () => {
  const image = aQcow().withHeader('size', CLUSTER).withEntry('l2', 0, PLACES.data);
  expect(await figuresOf(image)).toMatchObject({ commitment: 6 * CLUSTER, residual: 0, maxLength: 6 * CLUSTER });
});

it('counts the holes of clusters and tables that exist', async () => {
  const image = aQcow().withEntry('l2', 0, PLACES.data);
  const { components } = await figuresOf(image, 0, { map: storedMap([]) });
  // Header and L1 table share a block; the L2 table and the cluster have one each.
  expect(components).toContainEqual(component('in-place', 3 * CLUSTER));
});
