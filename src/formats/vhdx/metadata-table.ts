/** The metadata table: which items there are and where in the metadata region they lie. Source: [MS-VHDX] 2.6.1. */
import { guidText } from './guid.ts';
import {
  LIMITS,
  METADATA_GUID,
  METADATA_IS_REQUIRED,
  METADATA_IS_USER,
  METADATA_TABLE_BYTES,
  METADATA_TABLE_ENTRY,
  METADATA_TABLE_HEADER,
} from './layout.ts';
import type { Region } from './region-table.ts';
import { hex, latin1, type Place, vhdxError } from './error.ts';

const DOING = 'read VHDX metadata table';

export type ItemName = keyof typeof METADATA_GUID;

/** Where an item lies in the file. */
export interface MetadataItem {
  readonly fileOffset: number;
  readonly byteLength: number;
}

const NAME_OF = new Map(Object.entries(METADATA_GUID).map(([name, guid]) => [guid as string, name as ItemName]));

/**
 * The known items of the metadata table in `table`, the first 64 KiB of the region; each lies inside the region, behind
 * the table.
 *
 * Bounds: 2047 entries. Throws: corrupt (signature, count, an item twice, empty, too long or outside), unsupported (an
 * unknown item that is required).
 */
export function parseMetadataTable(table: Uint8Array, region: Region): ReadonlyMap<ItemName, MetadataItem> {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const { fileOffset } = region;
  const header = METADATA_TABLE_HEADER.read(view, 0, fileOffset);
  if (latin1(header.signature) !== 'metadata') {
    throw vhdxError('corrupt', 'VHDX_METADATA_TABLE', place('Signature', fileOffset), latin1(header.signature), 'metadata');
  }
  if (header.entryCount > LIMITS.tableEntries) {
    throw vhdxError(
      'corrupt',
      'VHDX_METADATA_TABLE',
      place('EntryCount', fileOffset + 10),
      header.entryCount,
      `at most ${LIMITS.tableEntries}`,
    );
  }
  const items = new Map<ItemName, MetadataItem>();
  const seen = new Set<string>();
  let userEntries = 0;
  for (let index = 0; index < header.entryCount; index += 1) {
    const at = METADATA_TABLE_HEADER.byteLength + index * METADATA_TABLE_ENTRY.byteLength;
    const entry = METADATA_TABLE_ENTRY.read(view, at, fileOffset);
    const guid = guidText(entry.itemId);
    const isUser = entry.flags % 2 === METADATA_IS_USER;
    const name = NAME_OF.get(guid);
    const identity = `${guid} ${isUser ? 'user' : 'system'}`;
    if (seen.has(identity)) throw vhdxError('corrupt', 'VHDX_METADATA_ITEM', place('ItemId', fileOffset + at), identity, 'each item once');
    seen.add(identity);
    if (isUser) userEntries += 1;
    if (userEntries > LIMITS.userMetadataEntries) {
      const expected = `at most ${LIMITS.userMetadataEntries} of the user`;
      throw vhdxError('corrupt', 'VHDX_METADATA_TABLE', place('EntryCount', fileOffset + 10), userEntries, expected);
    }
    if (name === undefined || isUser) {
      const isRequired = Math.floor(entry.flags / METADATA_IS_REQUIRED) % 2 === 1;
      if (!isRequired) continue;
      throw vhdxError(
        'unsupported',
        'VHDX_METADATA_UNKNOWN',
        place('ItemId', fileOffset + at),
        identity,
        'a known item, or one not required',
      );
    }
    checkPlace(entry.offset, entry.length, region, fileOffset + at);
    items.set(name, { fileOffset: fileOffset + entry.offset, byteLength: entry.length });
  }
  return items;
}

function checkPlace(offset: number, length: number, region: Region, at: number): void {
  if (length === 0 || length > LIMITS.metadataItemBytes) {
    throw vhdxError('corrupt', 'VHDX_METADATA_ITEM', place('Length', at + 20), length, `1 to ${LIMITS.metadataItemBytes}`);
  }
  if (offset < METADATA_TABLE_BYTES || offset + length > region.byteLength) {
    const expected = `behind the table and inside the region of ${region.byteLength} bytes`;
    throw vhdxError('corrupt', 'VHDX_METADATA_ITEM', place('Offset', at + 16), `${hex(offset)} + ${length} bytes`, expected);
  }
}

function place(field: string, at: number): Place {
  return { doing: DOING, field, at };
}
