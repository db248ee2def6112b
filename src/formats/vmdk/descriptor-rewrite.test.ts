import { describe, expect, it } from 'vitest';
import { descriptorText } from '../../../tests/support/vmdk-builder.ts';
import { rewriteFault } from './descriptor-rewrite.ts';

const TEXT = descriptorText('monolithicSparse', 'RW 20480 SPARSE "a.vmdk"');

/** `text` in a room of `byteLength` bytes. */
function area(text: string, byteLength = 10_240): Buffer {
  const room = Buffer.alloc(byteLength);
  room.write(text, 'latin1');
  return room;
}

/** As QEMU leaves the room: the shorter text, a NUL, and what was there before. */
function rewritten(room: Buffer, cid: string): Buffer {
  const text = room.toString('latin1', 0, room.indexOf(0));
  const next = `${text.slice(0, text.indexOf('CID=') + 4)}${cid}\n${text.slice(text.indexOf('parentCID'))}`;
  const after = Buffer.from(room);
  after.write(`${next}\0`, 'latin1');
  return after;
}

describe('rewriteFault()', () => {
  it('finds none after any row of content IDs that QEMU stores, and leaves the room as it is', () => {
    const digits = [1, 2, 5, 7, 8];
    for (const first of digits)
      for (const second of digits) {
        const room = rewritten(rewritten(area(TEXT), 'a'.repeat(first)), 'b'.repeat(second));
        const before = Buffer.from(room);
        expect([first, second, rewriteFault(room)]).toEqual([first, second, undefined]);
        expect(room.equals(before)).toBe(true);
      }
  });

  it('finds a text that grows past its room, or past the 20 sectors', () => {
    const short = TEXT.replace('f0a4b3c2', '1');
    expect(rewriteFault(area(short, short.length + 8))).toBeUndefined();
    expect(rewriteFault(area(short, short.length + 7))).toBe('too long');
    const comment = (length: number): string => `${short}${'# x\n'.repeat(3000)}`.slice(0, length - 1).concat('\n');
    expect(rewriteFault(area(comment(10_239 - 7), 2 ** 14))).toBeUndefined();
    expect(rewriteFault(area(comment(10_240 - 7), 2 ** 14))).toBe('too long');
  });

  it.each([
    ['line ends of another kind', TEXT.replaceAll('\n', '\r\n')],
    ['a key between the content IDs', TEXT.replace('parentCID', 'encoding="UTF-8"\nparentCID')],
    ['a comment between them, which stays behind as a rest', TEXT.replace('parentCID', '# a long comment of its own\nparentCID')],
  ])('finds %s', (_, text) => {
    expect(rewriteFault(area(text))).toBe('reads differently');
  });
});
