import { expect, it } from 'vitest';
import { memoryDevice } from '#block';
import { openQed } from '#formats';
import { component } from '#wire';
import { factsOf, storedMap } from '../../tests/support/facts.ts';
import { aQed, CLUSTER, PLACES, type QedBuilder } from '../../tests/support/qed-builder.ts';
import { type Figures } from './figures.ts';
import { qedFigures } from './qed-figures.ts';

const MiB = 1024 * 1024;

async function figuresOf(image: QedBuilder, tail = 0, facts = {}): Promise<Figures> {
  const bytes = Buffer.concat([image.bytes(), Buffer.alloc(tail)]);
  const opened = await openQed(memoryDevice(bytes));
  return qedFigures(await opened.census(), factsOf(bytes.length, facts));
}

it('appends each cluster without data and each missing table, behind the last whole cluster', async () => {
  const image = aQed().withEntry('l2', 0, PLACES.data).withEntry('l2', 1, 1);
  // 1,023 clusters, and a table of one: the disk of 4 MiB needs two.
  const maxLength = 7 * CLUSTER + 1023 * CLUSTER + CLUSTER;
  expect(await figuresOf(image)).toMatchObject({ capacity: 4 * MiB, maxLength, commitment: maxLength, expected: maxLength });
  expect(await figuresOf(image, 100)).toMatchObject({ maxLength, commitment: maxLength });
});

it('counts leaked clusters, and adds nothing to an image that is full', async () => {
  const image = aQed()
    .withHeader('imageSize', 2 * CLUSTER)
    .withEntry('l2', 0, PLACES.data)
    .withEntry('l2', 1, PLACES.data + CLUSTER);
  expect(await figuresOf(image)).toMatchObject({ commitment: 7 * CLUSTER, residual: 0, maxLength: 7 * CLUSTER });
});

it('counts the holes of clusters and tables that are there', async () => {
  const image = aQed().withEntry('l2', 0, PLACES.data);
  const { components } = await figuresOf(image, 0, { map: storedMap([]) });
  expect(components).toContainEqual(component('in-place', 4 * CLUSTER));
});

it('reports an image that was not closed', async () => {
  const codes = (await figuresOf(aQed().withHeader('features', 2n))).findings.map(({ code }) => code);
  expect(codes).toEqual(['QED_NEEDS_CHECK']);
});
