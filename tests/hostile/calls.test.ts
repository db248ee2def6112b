/** Calls of the library that its types rule out, as JavaScript can make them. */
import { describe, expect, it } from 'vitest';
import { createImage, examineImage, figures, measureCopy, measureNew, parseCreateOptions, scan } from '../../src/index.ts';

/** As JavaScript calls: without types. */
type Untyped = (...given: unknown[]) => unknown;
const [anyFigures, anyExamine, anyMeasure, anyCopy, anyParse, anyCreate] = [
  figures,
  examineImage,
  measureNew,
  measureCopy,
  parseCreateOptions,
  createImage,
] as unknown as Untyped[] as [Untyped, Untyped, Untyped, Untyped, Untyped, Untyped];
const anyScan = async (...given: unknown[]): Promise<void> => {
  for await (const _ of (scan as unknown as (...all: unknown[]) => AsyncIterable<unknown>)(...given));
};
const raw = parseCreateOptions('raw', []);
const qcow2 = parseCreateOptions('qcow2', []);

describe('a wrong call of the library', () => {
  it.each<[name: string, call: () => unknown, says: string]>([
    ['figures, path', () => anyFigures(42), 'Cannot call figures(): path is 42, expected a string or a Buffer'],
    ['figures, nothing', () => anyFigures(), 'Cannot call figures(): path is undefined, expected a string or a Buffer'],
    [
      'figures, format',
      () => anyFigures('x', { format: 'bochs' }),
      'Cannot call figures(): format is bochs, expected one of raw, qcow2, vmdk, vhd, vhdx, vdi, qed, qcow, luks',
    ],
    ['figures, options', () => anyFigures('x', null), 'Cannot call figures(): options is null, expected an object'],
    [
      'figures, allowDirectories',
      () => anyFigures('x', { allowDirectories: '/' }),
      'Cannot call figures(): allowDirectories is /, expected an array of paths',
    ],
    ['figures, signal', () => anyFigures('x', { signal: 5 }), 'Cannot call figures(): signal is 5, expected an AbortSignal'],
    ['examineImage', () => anyExamine({}), 'Cannot call examineImage(): path is an object, expected a string or a Buffer'],
    ['scan, one path', () => anyScan('vm'), 'Cannot call scan(): directories is vm, expected an array of paths'],
    ['scan, no paths', () => anyScan([1]), 'Cannot call scan(): directories is an array, expected an array of paths'],
    ['scan, floor below 0', () => anyScan([], { floor: -5 }), 'Cannot call scan(): floor is -5, expected a whole number of bytes'],
    ['scan, floor as text', () => anyScan([], { floor: '20G' }), 'Cannot call scan(): floor is 20G, expected a whole number of bytes'],
    ['scan, concurrency', () => anyScan([], { concurrency: 0 }), 'Cannot call scan(): concurrency is 0, expected a positive integer'],
    ['scan, exclude', () => anyScan([], { exclude: 'no' }), 'Cannot call scan(): exclude is no, expected an array of patterns'],
    [
      'scan, neverWritten',
      () => anyScan([], { neverWritten: 'x' }),
      'Cannot call scan(): neverWritten is x, expected an array of patterns',
    ],
    ...[1.5, -1, Number.NaN, 2 ** 60, '1G'].map((capacity): [string, () => unknown, string] => [
      `measureNew, ${capacity}`,
      () => anyMeasure('raw', capacity, raw),
      `Cannot call measureNew(): capacity is ${capacity}, expected a whole number of bytes, below 8 PiB`,
    ]),
    ['measureNew, format', () => anyMeasure('vdi', 1, raw), "Cannot call measureNew(): format is vdi, expected 'raw' or 'qcow2'"],
    [
      'measureNew, options of another format',
      () => anyMeasure('raw', 1, qcow2),
      "Cannot call measureNew(): options.format is qcow2, expected those of parseCreateOptions('raw', ...)",
    ],
    [
      'measureNew, block',
      () => anyMeasure('raw', 1, raw, 1000),
      'Cannot call measureNew(): fsBlockSize is 1000, expected a power of two from 512 to 2^30',
    ],
    [
      'measureCopy, options of another format',
      () => anyCopy('x', 'qcow2', raw),
      "Cannot call measureCopy(): options.format is raw, expected those of parseCreateOptions('qcow2', ...)",
    ],
    [
      'parseCreateOptions, lists',
      () => anyParse('raw', 'x=y'),
      "Cannot call parseCreateOptions(): lists is x=y, expected an array of texts such as 'cluster_size=2M'",
    ],
    ['createImage', () => anyCreate('x'), 'Cannot call createImage(): request is x, expected an object'],
    [
      'createImage, options of another format',
      () => anyCreate({ path: '/nowhere/x', format: 'qcow2', capacity: 1, options: raw }),
      "Cannot call createImage(): options.format is raw, expected those of parseCreateOptions('qcow2', ...)",
    ],
  ])('%s: is a usage error that names the argument', async (_name, call, says) => {
    const wrong = { name: 'PlimsollError', kind: 'usage', code: 'LIBRARY_ARGUMENT', message: says };
    await expect((async () => call())()).rejects.toMatchObject(wrong);
  });

  it('a correct call throws nothing', () => {
    expect(measureNew('raw', 0, raw).length).toBe(0);
    expect(measureNew('raw', 2 ** 53 - 2 ** 16, raw).commitment).toBe(2 ** 53 - 2 ** 16);
  });
});
