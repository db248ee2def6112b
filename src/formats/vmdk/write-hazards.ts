/** What goes wrong when QEMU writes to an image in place. Source: QEMU 7.2 block/vmdk.c, as observed with qemu-io. */
import { divideUp, roundUp } from '#base';
import type { WriteHazard } from '../write-hazard.ts';
import type { VmdkCensus } from './census.ts';
import { REWRITTEN_SECTORS, rewriteFault } from './descriptor-rewrite.ts';
import { SECTOR } from './layout.ts';
import type { MetadataPlaces } from './metadata-places.ts';

/** A grain table has 32 bits for a grain's sector. */
const MAX_SECTORS = 2 ** 32;

export interface WrittenImage {
  readonly census: VmdkCensus;
  readonly descriptorArea: Uint8Array;
  /** Bytes. */
  readonly fileLength: number;
  readonly places: MetadataPlaces;
}

/** Every hazard of a write to the image; none for an image that QEMU made. */
export function writeHazards(image: WrittenImage): WriteHazard[] {
  const { header } = image.census;
  const hazards = [streamHazard, missingTables, descriptorRoom, descriptorText, farGrains].map((find) => find(image));
  // Whatever else is wrong with a stream, nothing writes to it in place.
  return hazards.filter((hazard) => hazard !== undefined).slice(0, header.kind === 'stream' ? 1 : hazards.length);
}

function streamHazard({ census }: WrittenImage): WriteHazard | undefined {
  if (census.header.kind !== 'stream') return undefined;
  return {
    code: 'VMDK_STREAM',
    message:
      'A stream is made for transport: QEMU cannot write again what is stored in it, and writes over the header where a table is missing.',
    at: undefined,
  };
}

function missingTables({ census }: WrittenImage): WriteHazard | undefined {
  const { missingTables: count, header } = census;
  if (count === 0) return undefined;
  return {
    code: 'VMDK_TABLES_MISSING',
    message: `The grain directory names no table for ${count} of its ${header.grainDirectoryEntries} entries: QEMU writes what the guest writes there over the header, and the guest's bytes become the next descriptor.`,
    at: header.grainDirectoryOffset,
  };
}

function descriptorRoom({ census, fileLength, places }: WrittenImage): WriteHazard | undefined {
  const end = 1 + REWRITTEN_SECTORS;
  const other = places.beside('descriptor', 1, end) ?? ((census.lowestGrain ?? end) < end ? 'grain' : undefined);
  const found = other === undefined ? (fileLength < end * SECTOR ? 'the end of the file' : undefined) : `a ${other}`;
  if (found === undefined) return undefined;
  return {
    code: 'VMDK_DESCRIPTOR_ROOM',
    message: `QEMU rewrites ${REWRITTEN_SECTORS} sectors from the descriptor on and ends them with a NUL, and among them is ${found}: the guest's bytes can become the next descriptor.`,
    at: SECTOR,
  };
}

function descriptorText({ census, descriptorArea }: WrittenImage): WriteHazard | undefined {
  const fault = rewriteFault(descriptorArea);
  if (fault === undefined) return undefined;
  const what = fault === 'too long' ? 'grows past its room' : 'is another one';
  return {
    code: 'VMDK_DESCRIPTOR_REWRITE',
    message: `QEMU stores a new content ID with the first write; the descriptor then ${what}.`,
    at: census.header.descriptorOffset,
  };
}

function farGrains({ census, fileLength }: WrittenImage): WriteHazard | undefined {
  const { grainSectors } = census.header;
  const end = roundUp(divideUp(fileLength, SECTOR), grainSectors) + census.needing * grainSectors;
  if (end <= MAX_SECTORS) return undefined;
  return {
    code: 'VMDK_FILE_TOO_LONG',
    message:
      'Once written in full the file is longer than 2 TiB, and a grain table has no number for a place behind: the writes of the guest fail.',
    at: undefined,
  };
}
