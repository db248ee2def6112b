/** The figures of an image before it exists: of the growth model that its plan gives, by the arithmetic of existing images. */
import { GiB, isPowerOfTwo, requireArgument, roundUp, safeInteger } from '#base';
import { type FileFacts, newFileFacts } from '#block';
import {
  commitmentAt,
  type Figures,
  type NewImagePlace,
  type PlannedFile,
  plannedQcow2Bound,
  plannedQcow2Figures,
  rawFigures,
} from '#commitment';
import { factsOfPlan, growthOfPlan, newQcow2Geometry, planNewQcow2, storedRange } from '#formats';
import { component, DEFINITIONS, type MeasureReport, sumOfComponents } from '#wire';
import { type CreateOptions, type NewImageFormat, parseCreateOptions, type RawOptions, requireOptionsOf } from './create-options.ts';
import { planNewRaw } from './new-raw.ts';

/** The block size of almost every filesystem. */
export const DEFAULT_HOST_BLOCK = 4096;

/**
 * The figures of a new image.
 *
 * Of the file itself: an external data file is a raw image of its own, to be measured as one. What the filesystem will
 * charge for its own map of the file (extent tree blocks on ext4, extent size hints on XFS) is unknown before the file
 * exists and not in any figure.
 *
 * Units: bytes. Throws: usage, when the capacity is too large for the options, and for a wrong call.
 */
export function measureNew(
  format: NewImageFormat,
  capacity: number,
  options: CreateOptions,
  fsBlockSize = DEFAULT_HOST_BLOCK,
): MeasureReport {
  checkArguments(format, capacity, options, fsBlockSize);
  const figures =
    options.format === 'raw' ? rawFigures(rawFacts(capacity, options, fsBlockSize)) : qcow2FiguresOf(capacity, options, fsBlockSize);
  return { schema: 'plimsoll.measure/1', definitions: DEFINITIONS, format, ...figuresAtCreation(figures), findings: [] };
}

function qcow2FiguresOf(capacity: number, options: CreateOptions & { format: 'qcow2' }, fsBlockSize: number): Figures {
  const plan = planNewQcow2(options.qcow2, capacity);
  return plannedQcow2Figures(growthOfPlan(plan), factsOfPlan(plan, fsBlockSize));
}

/** All figures of a planned file are known. Its allocation is that at creation. */
function figuresAtCreation(figures: Figures): Omit<MeasureReport, 'schema' | 'definitions' | 'format' | 'findings'> {
  const { capacity, length, allocation, commitment, expected, maxLength } = figures as {
    readonly [K in keyof Figures]: NonNullable<Figures[K]>;
  };
  safeInteger(maxLength, 'measure a new image');
  const components = figures.components.map((one) => (one.code === 'allocated' ? component('allocated-at-creation', one.bytes) : one));
  return { capacity, length, allocation, commitment, expected, maxLength, components };
}

/** The facts of a new raw file. */
function rawFacts(capacity: number, { preallocation }: RawOptions, fsBlockSize: number): FileFacts {
  const { length, storedLength } = planNewRaw(capacity, preallocation);
  return newFileFacts(length, storedLength === 0 ? [] : [storedRange(0, roundUp(storedLength, fsBlockSize))], fsBlockSize);
}

/** The storage of an image of this length, rounded up to any block size, is still below 2^53. */
const MAX_CAPACITY = 2 ** 53 - 2 ** 16;

function checkArguments(format: unknown, capacity: number, options: unknown, fsBlockSize: number): void {
  const call = 'measureNew()';
  requireOptionsOf(call, format, options);
  requireArgument(Number.isSafeInteger(capacity) && capacity >= 0 && capacity <= MAX_CAPACITY, {
    call,
    name: 'capacity',
    value: capacity,
    expected: 'a whole number of bytes, below 8 PiB',
  });
  requireArgument(isPowerOfTwo(fsBlockSize) && fsBlockSize >= 512 && fsBlockSize <= GiB, {
    call,
    name: 'fsBlockSize',
    value: fsBlockSize,
    expected: 'a power of two from 512 to 2^30',
  });
}

/** L2 tables that are created with the image, whose positions are planned one by one; 0 without preallocation. Throws: usage. */
export function plannedTables(options: CreateOptions, capacity: number): number {
  if (options.format === 'raw') return 0;
  const { preallocation, dataFileRaw } = options.qcow2;
  return preallocation === 'off' && !dataFileRaw ? 0 : newQcow2Geometry(options.qcow2, capacity).l2Count;
}

/**
 * The most that a new image, and its external data file if the options name one, can ever use, with what the filesystem of
 * `place` charges on top; without `place` that is unknown and left out.
 *
 * The data file is counted as if it lay on the same store. Units: bytes. Throws: usage.
 */
export function commitmentOfNew(format: NewImageFormat, capacity: number, options: CreateOptions, place?: NewImagePlace): number {
  const fsBlockSize = place?.rules.fsBlockSize ?? DEFAULT_HOST_BLOCK;
  checkArguments(format, capacity, options, fsBlockSize);
  const hasDataFile = options.format === 'qcow2' && options.qcow2.dataFile !== undefined;
  const all = hasDataFile ? [options, parseCreateOptions('raw', [])] : [options];
  return all.reduce((sum, one) => {
    const file = plannedFile(capacity, one, fsBlockSize);
    return sum + (place === undefined ? sumOfComponents(file.components) : commitmentAt(file, place));
  }, 0);
}

function plannedFile(capacity: number, options: CreateOptions, fsBlockSize: number): PlannedFile {
  if (options.format === 'raw') {
    const facts = rawFacts(capacity, options, fsBlockSize);
    const { components, maxLength } = rawFigures(facts);
    return { facts, components, maxLength: maxLength ?? 0, grain: fsBlockSize, isUnwritten: options.preallocation === 'falloc' };
  }
  const plan = planNewQcow2(options.qcow2, capacity);
  const facts = factsOfPlan(plan, fsBlockSize);
  const { components, maxLength } = plannedQcow2Bound(growthOfPlan(plan), facts);
  const { clusterSize, extendedL2, preallocation } = options.qcow2;
  return { facts, components, maxLength, grain: extendedL2 ? clusterSize / 32 : clusterSize, isUnwritten: preallocation === 'falloc' };
}
