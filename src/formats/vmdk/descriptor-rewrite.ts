/**
 * What QEMU makes of an embedded descriptor. On the first write after each open it reads 20 sectors from sector 1 on, whatever
 * the header says, replaces the text from the first `CID=` up to `parentCID` by a new CID, ends the 20 sectors with a NUL, and
 * writes them back. Source: QEMU 7.2 block/vmdk.c, vmdk_write_cid, as observed with qemu-io.
 */
import { parseDescriptor } from './descriptor.ts';
import { embeddedText } from './descriptor-text.ts';
import { SECTOR } from './layout.ts';

/** Sectors that QEMU rewrites, from sector 1 on. */
export const REWRITTEN_SECTORS = 20;
const REWRITTEN_BYTES = REWRITTEN_SECTORS * SECTOR;

/** The longest and the shortest CID that can come: all 32 bits are random. */
const CIDS = ['ffffffff', '0'];

/** How the descriptor in `area`, the room that the header gives to it, fails to survive a new CID; undefined: it survives. */
export function rewriteFault(area: Uint8Array): 'too long' | 'reads differently' | undefined {
  const text = embeddedText(area, SECTOR);
  const before = withoutCid(text);
  for (const cid of CIDS) {
    const rewritten = withCid(text, cid);
    if (rewritten.byteLength >= Math.min(area.byteLength, REWRITTEN_BYTES)) return 'too long';
    // Not slice(): that of a Buffer is a view of the image.
    const room = Uint8Array.from(area);
    room.set(rewritten);
    room[rewritten.byteLength] = 0;
    try {
      if (withoutCid(embeddedText(room, SECTOR)) !== before) return 'reads differently';
    } catch {
      return 'reads differently';
    }
  }
  return undefined;
}

function withCid(text: Uint8Array, cid: string): Uint8Array {
  const latin1 = Buffer.from(text).toString('latin1');
  const start = latin1.indexOf('CID') + 'CID='.length;
  return Buffer.from(`${latin1.slice(0, start)}${cid}\n${latin1.slice(latin1.indexOf('parentCID'))}`, 'latin1');
}

/** All that the descriptor says but its CID, to be compared. */
function withoutCid(text: Uint8Array): string {
  const { cid: _, extents, database, ...rest } = parseDescriptor(text, SECTOR);
  const places = extents.map(({ line: _line, at: _at, ...extent }) => extent);
  return JSON.stringify([rest, places, [...database]]);
}
