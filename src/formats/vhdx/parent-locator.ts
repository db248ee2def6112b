/** The parent locator of a differencing disk: names, which are handed out and never opened. Source: [MS-VHDX] 2.6.2.6. */
import { guidText } from './guid.ts';
import { PARENT_LOCATOR_ENTRY, PARENT_LOCATOR_HEADER } from './layout.ts';
import { hex, type Place, vhdxError } from './error.ts';

const DOING = 'read VHDX parent locator';

/** A name as the image holds it, UTF-16LE without NUL, and as text. */
export interface LocatorText {
  readonly bytes: Uint8Array;
  readonly text: string;
}

/** For VHDX parents the keys are parent_linkage, parent_linkage2, volume_path, relative_path, absolute_win32_path. */
export interface LocatorEntry {
  readonly key: LocatorText;
  readonly value: LocatorText;
}

export interface ParentLocator {
  /** b04aefb7-d19e-4a81-b789-25b8e9445913 for a VHDX parent. */
  readonly locatorType: string;
  readonly entries: readonly LocatorEntry[];
}

/**
 * The checked parent locator in `item`, which lies at `at` of the file.
 *
 * Bounds: keys and values together are no longer than the item. Throws: corrupt (a count or name outside of the item).
 */
export function parseParentLocator(item: Uint8Array, at: number): ParentLocator {
  const view = new DataView(item.buffer, item.byteOffset, item.byteLength);
  const { locatorType, keyValueCount } = PARENT_LOCATOR_HEADER.read(view, 0, at);
  const namesAt = PARENT_LOCATOR_HEADER.byteLength + keyValueCount * PARENT_LOCATOR_ENTRY.byteLength;
  if (namesAt > item.byteLength) {
    const expected = `as many as fit into ${item.byteLength} bytes`;
    throw vhdxError('corrupt', 'VHDX_PARENT_LOCATOR', place('KeyValueCount', at + 18), keyValueCount, expected);
  }
  const entries: LocatorEntry[] = [];
  let left = item.byteLength - namesAt;
  const name = (field: string, fieldAt: number, offset: number, byteLength: number): LocatorText => {
    left -= byteLength;
    if (byteLength === 0 || byteLength % 2 !== 0 || offset < namesAt || offset + byteLength > item.byteLength || left < 0) {
      const expected = 'whole UTF-16 characters behind the entries, inside the item, at a place of their own';
      throw vhdxError('corrupt', 'VHDX_PARENT_LOCATOR', place(field, fieldAt), `${hex(offset)} + ${byteLength} bytes`, expected);
    }
    const bytes = item.slice(offset, offset + byteLength);
    return { bytes, text: new TextDecoder('utf-16le', { ignoreBOM: true }).decode(bytes) };
  };
  for (let index = 0; index < keyValueCount; index += 1) {
    const entryAt = PARENT_LOCATOR_HEADER.byteLength + index * PARENT_LOCATOR_ENTRY.byteLength;
    const { keyOffset, valueOffset, keyLength, valueLength } = PARENT_LOCATOR_ENTRY.read(view, entryAt, at);
    const key = name('KeyOffset', at + entryAt, keyOffset, keyLength);
    entries.push({ key, value: name('ValueOffset', at + entryAt + 4, valueOffset, valueLength) });
  }
  return { locatorType: guidText(locatorType), entries };
}

function place(field: string, at: number): Place {
  return { doing: DOING, field, at };
}
