/**
 * The figures of a VMDK image. A grain that has no data takes a new place at the end of the file when it is written; what is
 * there is written in place; grain tables lie where they were made. Source: QEMU 7.2 block/vmdk.c, asked with qemu-io.
 */
import { type Range, roundUp, sortRanges, totalLength, uniteRanges } from '#base';
import { type FileFacts, storedBytes } from '#block';
import type { VmdkCensus } from '#formats';
import { type Component, component, sumOfComponents } from '#wire';
import { clusterBytes, mapBytes } from './byte-runs.ts';
import { type Figures, finish } from './figures.ts';
import { vmdkFindings } from './findings-vmdk.ts';

const SECTOR = 512;
/** A grain table: 512 entries of 4 bytes. */
const TABLE_BYTES = 2048;
/** Bytes of a grain marker in front of compressed data. */
const MARKER_BYTES = 12;

/** What the file grows by at its end. */
interface Growth {
  /** Where new grains can come to lie; empty where none is missing. */
  readonly appended: Range;
  /** Grain tables that are missing, before they are given places. */
  readonly tableBytes: number;
  readonly maxLength: number;
}

/** Figures of a VMDK image from the census of its grains. Units: bytes. */
export function vmdkFigures(census: VmdkCensus, facts: FileFacts): Figures {
  const { header } = census;
  const growth = header.kind === 'stream' ? streamGrowth(census, facts) : sparseGrowth(census, facts);
  const own = facts.map === undefined ? componentsByStat(census, facts, growth) : componentsByMap(census, facts, growth, facts.map);
  const storage = sumOfComponents(own);
  // What a grain of a stream takes depends on what is written into it.
  const isOpen = header.kind === 'stream' && census.needing > census.needingWithoutTable;
  return finish(
    facts,
    own,
    {
      storage,
      maxLength: growth.maxLength,
      grain: Math.max(header.grainBytes, facts.fsBlockSize),
      scattered: sumOfComponents(own, 'in-place'),
      wholePieces: true,
    },
    {
      capacity: header.capacity,
      expected: isOpen ? null : Math.max(facts.allocation, storage),
      maxLength: growth.maxLength,
      unbounded: [],
      nextSnapshot: null,
      findings: vmdkFindings(census),
    },
  );
}

/** Whole grains, each at a multiple of the grain's size from the file's end on. */
function sparseGrowth({ header, needing, missingTables }: VmdkCensus, { length }: FileFacts): Growth {
  if (needing === 0) return { appended: { start: 0, end: 0 }, tableBytes: 0, maxLength: length };
  const { grainBytes, redundantDirectoryOffset } = header;
  const copies = redundantDirectoryOffset === undefined ? 1 : 2;
  const tableBytes = roundUp(missingTables * copies * TABLE_BYTES, grainBytes);
  const start = roundUp(length, grainBytes);
  const end = start + needing * grainBytes + tableBytes;
  return { appended: { start, end }, tableBytes, maxLength: end };
}

/**
 * A grain that is there is never written again (QEMU fails the write), and one that is not can be, once, whole: QEMU writes a grain
 * of zeros and the compressed data over it, the next grain behind these; in a later session from a multiple of the grain's
 * size on. At the worst each grain comes in a session of its own, with data that deflate makes longer. Where there is no grain
 * table QEMU adds nothing: it writes over the header.
 */
function streamGrowth({ header, needing, needingWithoutTable }: VmdkCensus, { length, fsBlockSize }: FileFacts): Growth {
  const count = needing - needingWithoutTable;
  if (count === 0) return { appended: { start: 0, end: 0 }, tableBytes: 0, maxLength: length };
  const { grainBytes } = header;
  const step = roundUp(longestGrain(grainBytes), grainBytes);
  const start = roundUp(length, grainBytes);
  // The grain and what it is longer by, in whole host blocks; between that and the next step nothing is written.
  const stored = Math.min(step, roundUp(longestGrain(grainBytes), fsBlockSize));
  return { appended: { start, end: start + count * stored }, tableBytes: 0, maxLength: start + count * step };
}

/** zlib's bound on what deflate makes of a grain (compressBound), with the marker, in whole sectors. */
function longestGrain(grainBytes: number): number {
  const bound = grainBytes + Math.floor(grainBytes / 2 ** 12) + Math.floor(grainBytes / 2 ** 14) + Math.floor(grainBytes / 2 ** 25) + 13;
  return roundUp(bound + MARKER_BYTES, SECTOR);
}

function componentsByMap(census: VmdkCensus, facts: FileFacts, growth: Growth, map: NonNullable<FileFacts['map']>): Component[] {
  const { fsBlockSize } = facts;
  const stored = totalLength(uniteRanges([mapBytes(map)], fsBlockSize));
  const settled = totalLength(uniteRanges([mapBytes(map), ...writtenInPlace(census)], fsBlockSize));
  const filled = totalLength(uniteRanges([mapBytes(map), ...writtenInPlace(census), [growth.appended]], fsBlockSize));
  return withoutZeros([
    component('allocated', stored),
    component('in-place', settled - stored),
    ...appendedComponents(filled - settled, growth),
  ]);
}

/** Without a map the storage that there is may lie where no guest write reaches it, and then stays on top. */
function componentsByStat(census: VmdkCensus, facts: FileFacts, growth: Growth): Component[] {
  const { fsBlockSize, allocation, length } = facts;
  const known = facts.written ?? [];
  const knownBytes = storedBytes(known);
  const settled = totalLength(uniteRanges([mapBytes(known), ...writtenInPlace(census)], fsBlockSize));
  const filled = totalLength(uniteRanges([mapBytes(known), ...writtenInPlace(census), [growth.appended]], fsBlockSize));
  const elsewhere = Math.max(0, allocation - knownBytes);
  const fileBytes = roundUp(length, fsBlockSize);
  const behindEnd = Math.max(0, elsewhere - Math.max(0, fileBytes - knownBytes));
  return withoutZeros([
    component('known-or-in-place', settled),
    component('unknown-offsets', Math.min(elsewhere, Math.max(0, fileBytes - settled)) + behindEnd),
    ...appendedComponents(filled - settled, growth),
  ]);
}

function appendedComponents(bytes: number, { tableBytes }: Growth): Component[] {
  const tables = Math.min(bytes, tableBytes);
  return [component('guest-data', bytes - tables), component('grain-tables', tables)];
}

function withoutZeros(components: readonly Component[]): Component[] {
  return components.filter(({ code, bytes }) => bytes !== 0 || code === 'allocated');
}

/** Everything that guest writes touch without appending: header and descriptor (its CID), tables, and grains that are there. */
function writtenInPlace({ header, needing, tableSectors, grainSteps }: VmdkCensus): Iterable<Range>[] {
  if (needing === 0 && header.kind === 'stream') return [];
  // An extent of a split image has no descriptor.
  const head = { start: 0, end: Math.max(SECTOR, header.descriptorOffset + header.descriptorLength) };
  const tables = needing > 0 ? clusterBytes(tableSectors, SECTOR) : [];
  return [sortRanges([head]), tables, clusterBytes(grainSteps, header.grainBytes)];
}
