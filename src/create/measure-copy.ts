/** The figures of a copy of an existing image, before it is made. */
import { divideUp, requireArgument, requireOptions, requirePath, requirePaths, requireSignal, roundUp } from '#base';
import type { Extent } from '#block';
import { endAfterAllocating } from '#commitment';
import { openContentFile } from '#references';
import { type Component, component, type ComponentCode, IMAGE_FORMATS, type ImageFormat, type MeasureReport, sumOfComponents } from '#wire';
import { type CreateOptions, type NewImageFormat, requireOptionsOf } from './create-options.ts';
import { measureNew, DEFAULT_HOST_BLOCK } from './measure-new.ts';
import { growthOfPlan, planNewQcow2 } from '#formats';

export interface CopySource {
  /** Any format that is read; without it a signature decides, and raw is a guess. */
  readonly sourceFormat?: ImageFormat;
  readonly allowDirectories?: readonly string[];
  readonly signal?: AbortSignal;
}

/**
 * The figures of a copy of the image at `path`: of the new file as `qemu-img convert` writes it, sparse where the source is
 * unallocated or marked zero. The data itself is not read: where it is all zeros a copy is smaller. With `-S 0` qemu-img
 * writes every byte of the disk, and the copy comes to `expected` at once. `findings` names what a copy leaves out.
 *
 * Throws: PlimsollError, as `figures`; usage, for a wrong call; refused, when a backing file may not be followed.
 */
export async function measureCopy(
  path: string,
  format: NewImageFormat,
  options: CreateOptions,
  source: CopySource = {},
): Promise<MeasureReport> {
  const call = 'measureCopy()';
  requirePath(call, path);
  requireOptionsOf(call, format, options);
  requireOptions(call, source, 'source');
  const { sourceFormat, allowDirectories, signal } = source;
  requireSourceFormat(call, sourceFormat);
  requirePaths(call, 'allowDirectories', allowDirectories);
  requireSignal(call, signal);
  const grain = options.format === 'raw' ? DEFAULT_HOST_BLOCK : options.qcow2.clusterSize;
  await using content = await openContentFile(path, { format: sourceFormat, allowDirectories, signal });
  const { device, findings } = content;
  const capacity = device.byteLength;
  const empty = { ...measureNew(format, capacity, options), findings };
  const perTable = options.format === 'raw' ? 1 : grain / (options.qcow2.extendedL2 ? 16 : 8);
  const count = await countGrains(device.extents(0, capacity, { signal }), grain, perTable);
  const held = { data: count.grains * grain, tables: count.tables * grain };
  if (options.format === 'raw') {
    // QEMU writes the first block of every raw file that it creates.
    const made = count.hasFirst ? 0 : empty.allocation;
    const allocation = Math.max(empty.allocation, Math.min(held.data + made, roundUp(capacity, grain)));
    return { ...empty, allocation, components: storedAlready(empty.components, allocation, held) };
  }
  const plan = planNewQcow2(options.qcow2, capacity);
  if (plan.preallocation !== 'off') {
    const allocation = empty.allocation + (plan.preallocation === 'metadata' ? held.data : 0);
    return { ...empty, allocation, components: storedAlready(empty.components, allocation, held) };
  }
  const fresh = count.tables + (plan.options.dataFile === undefined ? count.grains : 0);
  const model = growthOfPlan(plan);
  const before = model.used.end();
  const end = endAfterAllocating(model, fresh);
  const grown = (end - before) * grain;
  const length = fresh === 0 ? empty.length : end * grain;
  const allocation = Math.min(empty.allocation + grown, roundUp(length, DEFAULT_HOST_BLOCK));
  return { ...empty, length: Math.max(empty.length, length), allocation, components: storedAlready(empty.components, allocation, held) };
}

function requireSourceFormat(call: string, value: unknown): void {
  const formats: readonly unknown[] = IMAGE_FORMATS;
  const isRight = value === undefined || formats.includes(value);
  requireArgument(isRight, { call, name: 'sourceFormat', value, expected: `one of ${IMAGE_FORMATS.join(', ')}` });
}

/** The same sum, with the copied data moved from the growth to the storage in use. Bytes. */
function storedAlready(components: readonly Component[], allocation: number, held: { data: number; tables: number }): readonly Component[] {
  let left = allocation - sumOfComponents(components, 'allocated-at-creation');
  const settled = components.map((one) => {
    const { code, bytes } = one;
    if (code === 'allocated-at-creation') return { ...one, bytes: allocation };
    const most = COPIED_DATA.has(code) ? held.data : code === 'l2-tables' ? held.tables : left;
    const taken = Math.max(0, Math.min(bytes, most, left));
    left -= taken;
    return { ...one, bytes: bytes - taken };
  });
  if (left !== 0) settled.push(component('allocated-by-copy', -left));
  return settled.filter(({ code, bytes }) => bytes !== 0 || code === 'allocated-at-creation');
}

/** The components that the copied data reduces. */
const COPIED_DATA: ReadonlySet<ComponentCode> = new Set(['guest-data', 'in-place']);

/** Grains with data, whether the first is among them, and the tables of `perTable` grains with data. */
async function countGrains(
  extents: AsyncIterable<Extent>,
  grain: number,
  perTable: number,
): Promise<{ grains: number; tables: number; hasFirst: boolean }> {
  let nextGrain = 0;
  let nextTable = 0;
  let grains = 0;
  let tables = 0;
  let hasFirst = false;
  for await (const { start, end, status } of extents) {
    if (status !== 'data') continue;
    const first = Math.max(nextGrain, Math.floor(start / grain));
    const last = divideUp(end, grain);
    if (last <= first) continue;
    grains += last - first;
    if (first === 0) hasFirst = true;
    nextGrain = last;
    const firstTable = Math.max(nextTable, Math.floor(first / perTable));
    const lastTable = divideUp(last, perTable);
    tables += Math.max(0, lastTable - firstTable);
    nextTable = Math.max(nextTable, lastTable);
  }
  return { grains, tables, hasFirst };
}
