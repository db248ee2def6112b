/**
 * The descriptor's bytes as lines, of which each can be read in one way only. VMware, QEMU and others scan this text with tools
 * of their own (substrings, scanf, C strings); what any two of them could see differently is refused here.
 */
import type { PlimsollError } from '#base';
import { LIMITS } from './layout.ts';
import { vmdkError } from './vmdk-error.ts';

/** One line without its end; `text` has one character a byte. */
export interface Line {
  /** From 1. */
  readonly number: number;
  /** Byte offset in the file. */
  readonly at: number;
  readonly text: string;
}

/** No line that a writer makes is longer; names are shorter still. */
const MAX_LINE_BYTES = 4096;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;
const HASH = 0x23;

const FIRST_LINE = bytesOf('# Disk DescriptorFile');

/** Whether a file that begins like this is a descriptor of its own. */
export function hasDescriptorStart(prefix: Uint8Array): boolean {
  return FIRST_LINE.every((byte, index) => prefix[index] === byte);
}

/** A CID is written without zeros in front: a text can become this much shorter. */
const MAX_CID_LOSS = 7;

/**
 * The text inside `area`, the room that a header gives to its descriptor: up to the first NUL, behind which must be nothing but
 * the rest of an older text.
 *
 * Throws: refused, when something else is hidden behind the text, or the text has no end.
 */
export function embeddedText(area: Uint8Array, at: number): Uint8Array {
  const end = area.indexOf(0);
  // QEMU reads 20 sectors whatever the header says: a text that fills its room would go on for it.
  if (end < 0) throw bytesWrong('end of the text', at + area.byteLength, 'no NUL', 'a NUL behind the text');
  return withoutRest(area, end, at);
}

/** The text of a descriptor that is a file of its own: all of it, or up to the first NUL, as for `embeddedText`. Throws: refused. */
export function ownText(file: Uint8Array): Uint8Array {
  const end = file.indexOf(0);
  return end < 0 ? file : withoutRest(file, end, 0);
}

/**
 * QEMU writes a new CID into its copy of the text, and where that has fewer digits the last bytes of the older text stay behind
 * the NUL (one image in 256 that qemu-io writes to). They repeat the end of the text.
 */
function withoutRest(area: Uint8Array, end: number, at: number): Uint8Array {
  for (let index = end + 1; index < area.byteLength; index += 1) {
    const byte = area[index] as number;
    if (byte === 0 || area.subarray(Math.max(0, index - MAX_CID_LOSS), end).includes(byte)) continue;
    throw bytesWrong('end of the text', at + index, `byte ${byte} behind a NUL`, 'zeros');
  }
  return area.subarray(0, end);
}

/**
 * The lines of a whole descriptor that begins at byte `at` of its file, without the blanks at their ends.
 *
 * Embedded in an image (`at` above 0), the text may begin with any comment: the header has said what it is, and writers differ
 * (`# Disk Descriptor File` of open-vmdk and FreeBSD, `# Description file created by VMDK stream converter` of VMDKstream.py).
 * Throws: refused (too long, control bytes, mixed line ends, another first line).
 */
export function readLines(text: Uint8Array, at: number): Line[] {
  if (text.byteLength > LIMITS.descriptorBytes)
    throw vmdkError(
      'refused',
      'VMDK_DESCRIPTOR_LENGTH',
      { doing: DOING, field: 'length', at },
      text.byteLength,
      `at most ${LIMITS.descriptorBytes} bytes, which is all that QEMU reads`,
    );
  const isDescriptor = at > 0 ? text[0] === HASH : hasDescriptorStart(text);
  if (!isDescriptor) throw lineWrong({ number: 1, at, text: '' }, 'another beginning', '# Disk DescriptorFile');
  const hasReturns = text[text.indexOf(NEWLINE) - 1] === RETURN;
  const lines: Line[] = [];
  for (let start = 0; start < text.byteLength; ) {
    const newline = text.indexOf(NEWLINE, start);
    const next = newline < 0 ? text.byteLength : newline + 1;
    const isCut = hasReturns && newline > start && text[newline - 1] === RETURN;
    const end = newline < 0 ? text.byteLength : newline - (isCut ? 1 : 0);
    if (newline >= 0 && hasReturns !== isCut)
      throw bytesWrong(`line ${lines.length + 1}`, at + newline, 'another line end', 'one kind of line end throughout');
    lines.push(oneLine(text.subarray(start, end), lines.length + 1, at + start));
    start = next;
  }
  return lines;
}

function oneLine(content: Uint8Array, number: number, at: number): Line {
  if (content.byteLength > MAX_LINE_BYTES)
    throw lineWrong({ number, at, text: '' }, `${content.byteLength} bytes`, `at most ${MAX_LINE_BYTES} bytes`);
  for (let index = 0; index < content.byteLength; index += 1) {
    const byte = content[index] as number;
    if (byte < 0x20 || byte === 0x7f) throw bytesWrong(`line ${number}`, at + index, `control byte ${byte}`, 'text');
  }
  // VMware and others leave blanks at the end of a line, which every reader skips.
  const end = content.findLastIndex((byte) => byte !== SPACE) + 1;
  return { number, at, text: String.fromCharCode(...content.subarray(0, end)) };
}

/** The bytes that `text`, one character a byte, was made of. */
export function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** A name for people; bytes that are not UTF-8 become U+FFFD. */
export function decodeName(raw: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(raw);
}

export const DOING = 'read VMDK descriptor';

/** A line that is not of the one form that all readers agree on. */
export function lineWrong({ number, at }: Line, found: string, expected: string): PlimsollError {
  return vmdkError('refused', 'VMDK_DESCRIPTOR_LINE', { doing: DOING, field: `line ${number}`, at }, found, expected);
}

function bytesWrong(field: string, at: number, found: string, expected: string): PlimsollError {
  return vmdkError('refused', 'VMDK_DESCRIPTOR_BYTES', { doing: DOING, field, at }, found, expected);
}
