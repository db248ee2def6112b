/** The two region tables: where in the file BAT and metadata lie. Source: [MS-VHDX] 2.2.3. */
import { guidText } from './guid.ts';
import { crcWithoutChecksum, type Header } from './header.ts';
import {
  HEADER_SECTION_BYTES,
  LIMITS,
  REGION_GUID,
  REGION_REQUIRED,
  REGION_TABLE_BYTES,
  REGION_TABLE_ENTRY,
  REGION_TABLE_HEADER,
  REGION_TABLE_OFFSETS,
  UNIT_BYTES,
} from './layout.ts';
import { hex, latin1, type Place, vhdxError } from './error.ts';

const DOING = 'read VHDX region table';

/** A part of the file, in whole MiB. */
export interface Region {
  readonly name: string;
  readonly fileOffset: number;
  readonly byteLength: number;
}

export interface Regions {
  readonly bat: Region;
  readonly metadata: Region;
  /** All of them with header section and log, ascending, disjoint, inside the file. */
  readonly all: readonly Region[];
}

/**
 * The regions of the two tables, of which one is enough. If both are valid they must say the same: else readers differ
 * in what they see.
 *
 * `tables` are the bytes of both, 64 KiB each. Bounds: 2047 entries.
 * Throws: corrupt (no valid table, two that differ, a region unaligned, twice, outside of the file or over another),
 * unsupported (an unknown region that is required).
 */
export function parseRegionTables(tables: readonly [Uint8Array, Uint8Array], header: Header, fileLength: number): Regions {
  const [first, second] = tables.map((table) => (isValid(table) ? table : undefined));
  if (first !== undefined && second !== undefined && !sameEntries(first, second)) {
    throw vhdxError('corrupt', 'VHDX_REGION_TABLE', place('tables', REGION_TABLE_OFFSETS[1]), 'two that differ', 'two copies of one table');
  }
  const [table, at] = first === undefined ? [second, REGION_TABLE_OFFSETS[1]] : [first, REGION_TABLE_OFFSETS[0]];
  if (table === undefined) {
    throw vhdxError('corrupt', 'VHDX_REGION_TABLE', place('tables', at), 'none valid', 'one with a valid signature and checksum');
  }
  const count = entryCount(table);
  if (count > LIMITS.tableEntries) {
    throw vhdxError('corrupt', 'VHDX_REGION_TABLE', place('EntryCount', at + 8), count, `at most ${LIMITS.tableEntries}`);
  }
  const named = new Map<string, Region>();
  for (let index = 0; index < count; index += 1) {
    const [guid, region] = parseEntry(table, at, index, fileLength);
    if (named.has(guid)) throw vhdxError('corrupt', 'VHDX_REGION', place('Guid', at + 16 + index * 32), guid, 'each region once');
    named.set(guid, region);
  }
  const [bat, metadata] = [named.get(REGION_GUID.bat), named.get(REGION_GUID.metadata)];
  if (bat === undefined || metadata === undefined) {
    const missing = bat === undefined ? 'no BAT region' : 'no metadata region';
    throw vhdxError('corrupt', 'VHDX_REGION', place('entries', at + 16), missing, 'a BAT and a metadata region');
  }
  return { bat, metadata, all: disjoint([...ownParts(header), ...named.values()], at) };
}

function isValid(table: Uint8Array): boolean {
  if (table.byteLength < REGION_TABLE_BYTES || latin1(table.subarray(0, 4)) !== 'regi') return false;
  return new DataView(table.buffer, table.byteOffset).getUint32(4, true) === crcWithoutChecksum(table);
}

function entryCount(table: Uint8Array): number {
  return REGION_TABLE_HEADER.read(new DataView(table.buffer, table.byteOffset, table.byteLength)).entryCount;
}

/** Whether two valid tables have the same entries; what is behind them does not matter. */
function sameEntries(one: Uint8Array, other: Uint8Array): boolean {
  const count = entryCount(one);
  if (count !== entryCount(other)) return false;
  const end = Math.min(REGION_TABLE_BYTES, REGION_TABLE_HEADER.byteLength + count * REGION_TABLE_ENTRY.byteLength);
  for (let at = REGION_TABLE_HEADER.byteLength; at < end; at += 1) if (one[at] !== other[at]) return false;
  return true;
}

function parseEntry(table: Uint8Array, tableAt: number, index: number, fileLength: number): [string, Region] {
  const at = REGION_TABLE_HEADER.byteLength + index * REGION_TABLE_ENTRY.byteLength;
  const entry = REGION_TABLE_ENTRY.read(new DataView(table.buffer, table.byteOffset, table.byteLength), at, tableAt);
  const guid = guidText(entry.guid);
  const known = guid === REGION_GUID.bat || guid === REGION_GUID.metadata;
  if (!known && entry.flags % 2 === REGION_REQUIRED) {
    throw vhdxError(
      'unsupported',
      'VHDX_REGION_UNKNOWN',
      place('Guid', tableAt + at),
      guid,
      'a BAT or metadata region, or one not required',
    );
  }
  const { fileOffset, length } = entry;
  if (fileOffset % UNIT_BYTES !== 0 || fileOffset < HEADER_SECTION_BYTES) {
    const expected = 'a multiple of 1 MiB behind the header section';
    throw vhdxError('corrupt', 'VHDX_REGION', place('FileOffset', tableAt + at + 16), hex(fileOffset), expected);
  }
  if (length === 0 || length % UNIT_BYTES !== 0) {
    throw vhdxError('corrupt', 'VHDX_REGION', place('Length', tableAt + at + 24), length, 'a multiple of 1 MiB, not 0');
  }
  if (fileOffset + length > fileLength) {
    const found = `${hex(fileOffset)} + ${length} bytes`;
    throw vhdxError('corrupt', 'VHDX_REGION', place('FileOffset', tableAt + at + 16), found, `inside the file of ${fileLength} bytes`);
  }
  const name = guid === REGION_GUID.bat ? 'BAT' : guid === REGION_GUID.metadata ? 'metadata' : guid;
  return [guid, { name, fileOffset, byteLength: length }];
}

function ownParts({ logOffset, logLength }: Header): Region[] {
  const section = { name: 'header section', fileOffset: 0, byteLength: HEADER_SECTION_BYTES };
  return logLength === 0 ? [section] : [section, { name: 'log', fileOffset: logOffset, byteLength: logLength }];
}

function disjoint(regions: readonly Region[], tableAt: number): Region[] {
  const sorted = [...regions].sort((a, b) => a.fileOffset - b.fileOffset);
  for (const [index, region] of sorted.entries()) {
    const next = sorted[index + 1];
    if (next !== undefined && next.fileOffset < region.fileOffset + region.byteLength) {
      const found = `${next.name} at ${hex(next.fileOffset)} inside ${region.name}`;
      throw vhdxError('corrupt', 'VHDX_REGION', place('FileOffset', tableAt + 16), found, 'regions that do not overlap');
    }
  }
  return sorted;
}

function place(field: string, at: number): Place {
  return { doing: DOING, field, at };
}
