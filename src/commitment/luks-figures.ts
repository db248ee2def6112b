/**
 * Figures of a LUKS volume in a file. The payload is written in place, and the header, with room for all of its keyslots, is
 * inside of the file: the commitment is that of the raw file, and so also holds for a raw disk whose guest wrote the header.
 */
import { roundDown } from '#base';
import type { FileFacts } from '#block';
import type { LuksImage } from '#formats';
import { type Figures, rawFigures } from './figures.ts';

/** Guest writes leave the unused keyslots as they are: `expected` is without their holes. */
export function luksFigures({ capacity, header }: Pick<LuksImage, 'capacity' | 'header'>, facts: FileFacts): Figures {
  const raw = rawFigures(facts);
  const expected = raw.expected === null ? null : Math.max(facts.allocation, raw.expected - holesBelow(header.payloadOffset, facts));
  return { ...raw, capacity, expected };
}

/** Whole host blocks below `end` that have no storage; 0 where the filesystem gives no map. */
function holesBelow(end: number, { map, fsBlockSize }: FileFacts): number {
  if (map === undefined) return 0;
  const limit = roundDown(end, fsBlockSize);
  return map.reduce((left, { fileOffset, byteLength }) => left - Math.max(0, Math.min(limit, fileOffset + byteLength) - fileOffset), limit);
}
