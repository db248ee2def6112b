/** GUIDs as VHDX stores them: the first three groups little-endian. Source: [MS-DTYP] 2.3.4.2. */

/** Order of the bytes in text. */
const TEXT_ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15] as const;
const GROUP_ENDS = new Set([4, 6, 8, 10]);

export const NO_GUID = '00000000-0000-0000-0000-000000000000';

/** The 16 bytes as `2dc27766-f623-4200-9d64-115e9bfd4a08`. */
export function guidText(guid: Uint8Array): string {
  let text = '';
  for (const [position, at] of TEXT_ORDER.entries()) {
    if (GROUP_ENDS.has(position)) text += '-';
    text += (guid[at] ?? 0).toString(16).padStart(2, '0');
  }
  return text;
}
