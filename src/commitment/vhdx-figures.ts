/**
 * The figures of a VHDX image: blocks that have a place are written there, all others at the end of the file.
 *
 * Measured on QEMU 7.2: a new block begins at the next multiple of 1 MiB behind the file's end, and the file gets longer
 * by a whole block, of which only what is written takes storage. Each new block sends one sector of the block allocation
 * table through the log: 8 KiB, one behind the other from the log's beginning at each open. Blocks that are zero or unmapped have
 * no place, in "fixed" images too: `qemu-img create -o subformat=fixed` makes a file of full length, and every block of
 * it is then put behind that length.
 */
import { type Range, roundDown, roundUp, sortRanges, totalLength, uniteRanges } from '#base';
import { type FileFacts, storedBytes } from '#block';
import type { VhdxImage } from '#formats';
import { type Component, component, type Finding, sumOfComponents } from '#wire';
import { mapBytes } from './byte-runs.ts';
import { type Figures, finish } from './figures.ts';

const UNIT = 1024 * 1024;
/** Sectors of the log, of the table, of a header. */
const SECTOR = 4096;
/** Where the two headers lie; both are written at each open. */
const HEADERS: readonly Range[] = [64 * 1024, 128 * 1024].map((start) => ({ start, end: start + SECTOR }));
/** What one new block takes of the log: an entry of header with descriptor, and the sector. */
const LOG_BYTES_A_BLOCK = 2 * SECTOR;

/**
 * Figures of a VHDX image without parent.
 *
 * Units: bytes. With a map exact; without one no lower than what QEMU reaches as
 * long as no storage lies outside of blocks, tables and log.
 */
export function vhdxFigures(image: VhdxImage, facts: FileFacts): Figures {
  const growth = growthOf(image, facts.length);
  const { components, own, scattered } = facts.map === undefined ? byStat(image, facts, growth) : byMap(image, facts, growth);
  return finish(
    facts,
    components,
    { storage: own, maxLength: growth.maxLength, grain: facts.fsBlockSize, scattered },
    {
      capacity: image.facts.capacity,
      expected: Math.max(own, facts.allocation),
      maxLength: growth.maxLength,
      unbounded: [],
      nextSnapshot: null,
      findings: findingsOf(image),
    },
  );
}

/** What is put behind the file's end when all blocks are written. */
interface Future {
  /** Bytes of the file where new blocks come to lie; the disk's last block may leave a part of its own unwritten. */
  readonly newBlocks: Range;
  readonly newBlockCount: number;
  /** Bytes of the last block behind the end of the disk, when it is new: never written. */
  readonly beyondDisk: number;
  readonly maxLength: number;
}

function growthOf({ facts, blocks }: VhdxImage, fileLength: number): Future {
  const length = Math.max(fileLength, facts.log?.fileLength ?? 0);
  const newBlockCount = blocks.blockCount - blocks.presentCount;
  const start = roundUp(length, UNIT);
  const end = start + newBlockCount * facts.blockSize;
  const beyondDisk = newBlockCount > 0 && !blocks.lastIsPresent ? blocks.blockCount * facts.blockSize - facts.capacity : 0;
  return { newBlocks: { start, end }, newBlockCount, beyondDisk, maxLength: newBlockCount === 0 ? length : end };
}

interface Sum {
  readonly components: readonly Component[];
  readonly own: number;
  /** Bytes to come that can be written at places of their own. */
  readonly scattered: number;
}

function byMap(image: VhdxImage, facts: FileFacts, future: Future): Sum {
  const map = facts.map ?? [];
  const { regions, header, log } = image.facts;
  const total = (...more: readonly Iterable<Range>[]): number => totalLength(uniteRanges([mapBytes(map), ...more], facts.fsBlockSize));
  const { newBlocks, newBlockCount, beyondDisk } = future;
  const bat = { start: regions.bat.fileOffset, end: regions.bat.fileOffset + roundUp(image.batBytes, SECTOR) };
  const tables = sortRanges(newBlockCount === 0 ? HEADERS : [...HEADERS, bat]);
  const stored = total();
  const inPlace = total(image.blocks.presentRuns());
  const settled = total(image.blocks.presentRuns(), tables, sortRanges(log?.written ?? []));
  const logBytes = Math.min(header.logLength, newBlockCount * LOG_BYTES_A_BLOCK);
  const logToCome = total([{ start: header.logOffset, end: header.logOffset + logBytes }]) - stored;
  const unstoredNew = total([newBlocks]) - stored;
  const storedNew = newBlocks.end - newBlocks.start - unstoredNew;
  const spared = roundDown(Math.max(0, beyondDisk - storedNew), facts.fsBlockSize);
  return summed(storedBytes(map), [
    component('mapped-guest-data', inPlace - stored),
    component('headers-and-bat', settled - inPlace),
    component('log', logToCome),
    component('blocks', unstoredNew - spared),
  ]);
}

/** One number says how much is stored, nothing says where: all that has a place is taken for what can be stored there. */
function byStat(image: VhdxImage, facts: FileFacts, { newBlocks, beyondDisk }: Future): Sum {
  const { regions, log } = image.facts;
  const parts = regions.all.map(({ fileOffset, byteLength }) => ({ start: fileOffset, end: fileOffset + byteLength }));
  const settled = totalLength(uniteRanges([parts, image.blocks.presentRuns(), sortRanges(log?.written ?? [])], facts.fsBlockSize));
  return summed(facts.allocation, [
    component('metadata-and-mapped-data', Math.max(0, settled - facts.allocation)),
    component('blocks', newBlocks.end - newBlocks.start - roundDown(beyondDisk, facts.fsBlockSize)),
  ]);
}

function summed(stored: number, toCome: readonly Component[]): Sum {
  const scattered = sumOfComponents(toCome);
  const components = [component('allocated', stored), ...toCome.filter(({ bytes }) => bytes > 0)];
  return { components, own: stored + scattered, scattered };
}

function findingsOf({ facts, blocks }: VhdxImage): Finding[] {
  const findings: Finding[] = [];
  const missing = blocks.blockCount - blocks.presentCount;
  if (facts.type === 'fixed' && missing > 0) {
    findings.push({
      level: 'warning',
      code: 'VHDX_FIXED_WITHOUT_BLOCKS',
      message: `The image is fixed, but ${missing} of its ${blocks.blockCount} blocks have no place: QEMU appends each to the file, so the file can grow to twice its length.`,
    });
  }
  if (facts.log !== undefined) {
    findings.push({
      level: 'warning',
      code: 'VHDX_LOG_PENDING',
      message:
        'The image was not closed cleanly: its log has to be replayed. plimsoll reads it as it will be after the replay; QEMU opens it only for writing, or after `qemu-img check -r all`.',
    });
  }
  return findings;
}
