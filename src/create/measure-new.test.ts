/** Figures of images that do not exist yet, compared with images that QEMU has filled, on tmpfs. */
import { statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GiB, MiB, parseSize, TiB } from '#base';
import { readCensus, readQcow2Header } from '#formats';
import { openImageFile } from '#host';
import { qcow2Figures } from '#commitment';
import { component, sumOfComponents } from '#wire';
import { qemuImg, qemuIo } from '../../tests/support/qemu.ts';
import { createImage } from './create-image.ts';
import { parseCreateOptions } from './create-options.ts';
import { measureNew } from './measure-new.ts';

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp('/dev/shm/plimsoll-measure-');
});
afterAll(() => rm(directory, { recursive: true, force: true }));

function measure(list: string, capacity: number) {
  return measureNew('qcow2', capacity, parseCreateOptions('qcow2', [list]));
}

/** Options and a capacity that QEMU accepts; preallocated images are small. */
const newQcow2 = fc
  .record({
    clusterBits: fc.integer({ min: 9, max: 21 }),
    refcountOrder: fc.integer({ min: 0, max: 6 }),
    isVersion2: fc.boolean(),
    isExtended: fc.boolean(),
    preallocation: fc.constantFrom('off', 'off', 'metadata', 'falloc'),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    isOdd: fc.boolean(),
  })
  .map(({ clusterBits, refcountOrder, isVersion2, isExtended, preallocation, share, isOdd }) => {
    const most = preallocation === 'off' ? 2 ** Math.min(46, 2 * clusterBits + 14) : 64 * MiB;
    const capacity = Math.floor(most ** share / 512) * 512;
    const options = isVersion2 ? ['compat=0.10'] : [`refcount_bits=${2 ** refcountOrder}`];
    if (!isVersion2 && isExtended && clusterBits >= 14) options.push('extended_l2=on');
    const list = [`cluster_size=${2 ** clusterBits}`, `preallocation=${preallocation}`, ...options].join(',');
    return { list, capacity: isOdd ? capacity + 512 : capacity };
  });

const KEY = 'encrypt.format=luks,encrypt.key-secret=s';

/** On a busy host QEMU cannot time its key derivation and reports an error; it is then run again. */
async function createLuks(path: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await qemuImg(
        directory,
        'create',
        '-q',
        '--object',
        'secret,id=s,data=abc',
        '-f',
        'qcow2',
        '-o',
        `${KEY},encrypt.iter-time=10`,
        path,
        '1G',
      );
      return;
    } catch (error) {
      if (attempt === 5 || !String(error).includes('CPU usage')) throw error;
    }
  }
}

describe('measureNew()', () => {
  it.each([
    ['', 20 * MiB + 512],
    ['cluster_size=512', 2 * MiB],
    ['cluster_size=512,refcount_bits=64', 3 * MiB + 512],
    ['cluster_size=1k,refcount_bits=64', 8 * MiB],
    ['cluster_size=2k,refcount_bits=1', 5 * MiB + 512],
    ['cluster_size=4k', 30 * MiB + 512],
    ['cluster_size=4k,refcount_bits=64,preallocation=metadata', 30 * MiB + 512],
    ['cluster_size=4k,compat=0.10', 30 * MiB],
    ['cluster_size=512,preallocation=metadata', 2 * MiB + 512],
    ['cluster_size=512,preallocation=falloc', 2 * MiB],
    ['extended_l2=on', 9 * MiB + 512],
    ['extended_l2=on,preallocation=metadata', 9 * MiB + 512],
    ['extended_l2=on,preallocation=falloc', 9 * MiB + 512],
    ['cluster_size=16k,extended_l2=on,refcount_bits=32', 40 * MiB + 512],
    ['cluster_size=2M', 30 * MiB + 512],
    ['cluster_size=2M,extended_l2=on', 30 * MiB + 512],
    ['cluster_size=2M,preallocation=metadata', 30 * MiB + 512],
    ['preallocation=full', 8 * MiB],
    ['', 0],
  ])('"%s" of %d bytes: a fill with single clusters reaches the expected size', async (list, capacity) => {
    const path = join(directory, 'filled');
    const measured = measure(list, capacity);
    await qemuImg(directory, 'create', '-q', '-f', 'qcow2', ...(list === '' ? [] : ['-o', list]), path, String(capacity));
    const clusterSize = parseSize(/cluster_size=(\w+)/.exec(list)?.[1] ?? '64k', 'cluster_size');
    const writes: string[] = [];
    for (let at = 0; at < capacity; at += clusterSize) writes.push(`write -q -P 9 ${at} ${Math.min(clusterSize, capacity - at)}`);
    if (writes.length > 0) await qemuIo({ path, format: 'qcow2' }, writes);
    const stat = statSync(path);
    expect(stat.blocks * 512).toBe(measured.expected);
    expect(measured.commitment).toBeGreaterThanOrEqual(measured.expected);
    expect(measured.maxLength).toBeGreaterThanOrEqual(stat.size);
    expect(sumOfComponents(measured.components)).toBe(measured.commitment);
  });

  it.each([
    ['', 40 * GiB],
    ['', TiB],
    ['', 12 * TiB],
    ['cluster_size=2M', 100 * TiB],
    ['cluster_size=4k', GiB],
    ['refcount_bits=64', TiB],
    ['extended_l2=on', 300 * GiB],
    ['compat=0.10', 700 * GiB + 512],
    ['cluster_size=1M,refcount_bits=1', 64 * TiB],
  ])('"%s" of %d bytes: the maximum length is the fully allocated size of qemu-img measure', async (list, capacity) => {
    const words = list === '' ? [] : ['-o', list];
    const judged = JSON.parse(
      await qemuImg(directory, 'measure', '--output=json', '-O', 'qcow2', ...words, '--size', String(capacity)),
    ) as { 'fully-allocated': number };
    expect(measure(list, capacity).maxLength).toBe(judged['fully-allocated']);
  });

  // qemu-img measure times the key derivation, for seconds each: its results with cluster_size=512, less the plain image's.
  it.each([
    ['', 2068480],
    [',encrypt.cipher-alg=aes-128', 1052672],
    [',encrypt.cipher-alg=serpent-256', 2068480],
    [',encrypt.cipher-alg=aes-256,encrypt.cipher-mode=cbc', 1052672],
    [',encrypt.cipher-alg=cast5-128,encrypt.cipher-mode=cbc', 528384],
  ])('a LUKS header of the length that QEMU 7.2.22 gives it: "%s"', (cipher, byteLength) => {
    const options = parseCreateOptions('qcow2', [`${KEY}${cipher}`]);
    expect(options).toMatchObject({ encryption: 'luks', qcow2: { luksHeaderBytes: byteLength } });
  });

  it('a new LUKS image has the size that QEMU writes', async () => {
    const path = join(directory, 'luks');
    await createLuks(path);
    const stat = statSync(path);
    expect(measure(KEY, GiB)).toMatchObject({ length: stat.size, allocation: stat.blocks * 512 });
  });

  it.each([
    ['', 40 * GiB],
    ['cluster_size=512', 3 * GiB],
    ['cluster_size=512,refcount_bits=64', 3 * GiB],
    ['cluster_size=1k,refcount_bits=64,preallocation=metadata', 30 * MiB + 512],
    ['extended_l2=on', 8 * GiB + 512],
    ['extended_l2=on,preallocation=metadata', GiB + 512],
    ['preallocation=falloc', 64 * MiB + 512],
    ['cluster_size=2M', 4 * TiB + 512],
    ['refcount_bits=64', 8 * TiB],
    ['', 48 * TiB],
    ['compat=0.10', GiB],
  ])('"%s" of %d bytes: the image has the figures measured before its creation', async (list, capacity) => {
    const path = join(directory, 'made');
    await rm(path, { force: true });
    await createImage({ path, format: 'qcow2', capacity, options: parseCreateOptions('qcow2', [list]) });
    await using file = await openImageFile(path);
    const header = await readQcow2Header(file.device);
    const figures = qcow2Figures(await readCensus(file.device, header), await file.facts());
    const { capacity: seen, length, allocation, commitment, expected, maxLength } = measure(list, capacity);
    expect(figures).toMatchObject({ capacity: seen, length, allocation, maxLength });
    // Without a map of the file (tmpfs, preallocation never written) storage may be out of reach of every guest write.
    if (figures.method === 'map') expect(figures).toMatchObject({ commitment, expected });
    else {
      expect(figures.commitment).toBeGreaterThanOrEqual(commitment);
      expect([expected, null]).toContain(figures.expected);
    }
  });

  it('any options and capacity: the file has the figures of its plan, component by component', async () => {
    const path = join(directory, 'any');
    await fc.assert(
      fc.asyncProperty(newQcow2, async ({ list, capacity }) => {
        await rm(path, { force: true });
        await createImage({ path, format: 'qcow2', capacity, options: parseCreateOptions('qcow2', [list]) });
        await using file = await openImageFile(path);
        const census = await readCensus(file.device, await readQcow2Header(file.device));
        const figures = qcow2Figures(census, await file.facts());
        const { schema: _schema, definitions: _definitions, format: _format, findings: _findings, ...planned } = measure(list, capacity);
        const components = figures.components.map((one) =>
          one.code === 'allocated' ? component('allocated-at-creation', one.bytes) : one,
        );
        if (figures.method === 'map') expect({ ...figures, components }).toMatchObject(planned);
        else expect(figures).toMatchObject({ length: planned.length, maxLength: planned.maxLength });
      }),
      { numRuns: 40 },
    );
  });

  it.each([
    ['', 2 ** 50],
    ['cluster_size=2M', 2 ** 53 - 2 ** 43],
    ['cluster_size=512,refcount_bits=64', 30 * GiB],
  ])('answers for the largest capacities, within the time of a test: "%s" of %d bytes', (list, capacity) => {
    const measured = measure(list, capacity);
    expect(measured.commitment).toBeGreaterThan(capacity);
    expect(Number.isSafeInteger(measured.commitment)).toBe(true);
  });

  it('raw: commitment is the capacity in whole sectors', () => {
    const options = parseCreateOptions('raw', []);
    expect(measureNew('raw', 40 * GiB, options)).toMatchObject({
      length: 40 * GiB,
      allocation: 4096,
      commitment: 40 * GiB,
      expected: 40 * GiB,
      maxLength: 40 * GiB,
    });
    expect(measureNew('raw', 1000, options)).toMatchObject({ capacity: 1024, length: 1024, allocation: 4096, commitment: 4096 });
    expect(measureNew('raw', 0, options)).toMatchObject({ length: 0, allocation: 0, commitment: 0 });
  });
});
