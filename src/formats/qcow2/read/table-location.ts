/** Checks of where a table lies that an entry of another one names. Source: qcow2 spec, "Cluster mapping", "Host cluster management". */
import { PlimsollError } from '#base';
import type { Header } from '../header.ts';

/** Where an entry lies in the file, in bytes, and how long the file is. */
export interface EntryPlace {
  readonly entryAt: number;
  readonly fileLength: number;
}

/** Throws: corrupt, unless the L2 table at `offset` of the file is aligned and wholly inside it. */
export function requireL2Table(offset: number, header: Header, place: EntryPlace): void {
  if (isInside(offset, header, place)) return;
  throw outside('QCOW2_L1_ENTRY', 'read qcow2 L1 table', 'L2 table offset', offset, header, place);
}

/** Throws: corrupt, unless the refcount block at `offset` of the file is aligned and wholly inside it. */
export function requireRefcountBlock(offset: number, header: Header, place: EntryPlace): void {
  if (isInside(offset, header, place)) return;
  throw outside('QCOW2_REFCOUNT_BLOCK', 'read qcow2 refcount table', 'refcount block offset', offset, header, place);
}

function isInside(offset: number, { clusterSize }: Header, { fileLength }: EntryPlace): boolean {
  return offset % clusterSize === 0 && offset + clusterSize <= fileLength;
}

function outside(code: string, doing: string, field: string, offset: number, { clusterSize }: Header, place: EntryPlace): PlimsollError {
  return new PlimsollError('corrupt', code, {
    doing,
    field,
    at: place.entryAt,
    found: `0x${offset.toString(16)}`,
    expected: `a multiple of the cluster size ${clusterSize} inside the file of ${place.fileLength} bytes`,
  });
}
