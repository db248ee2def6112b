/** The descriptor's extent lines. Source: VMware "Virtual Disk Format 5.0", "The Extent Description". */
import type { PlimsollError } from '#base';
import { bytesOf, decodeName, DOING, type Line } from './descriptor-text.ts';
import { LIMITS } from './layout.ts';
import { vmdkError } from './vmdk-error.ts';

/** A name found in the image: returned to the caller, never opened here. */
export interface RequestedName {
  /** For people; open by `bytes`. */
  readonly text: string;
  readonly bytes: Uint8Array;
}

const ACCESSES = ['RW', 'RDONLY', 'NOACCESS'] as const;
const TYPES = ['FLAT', 'SPARSE', 'ZERO', 'VMFS', 'VMFSSPARSE', 'VMFSRDM', 'VMFSRAW', 'SESPARSE'] as const;
/** Types whose line may end in an offset. */
const WITH_OFFSET: readonly string[] = ['FLAT', 'VMFS', 'VMFSRDM', 'VMFSRAW'];

export type ExtentAccess = (typeof ACCESSES)[number];
export type ExtentType = (typeof TYPES)[number];

/** A piece of the disk and the file that holds it. */
export interface DescriptorExtent {
  readonly access: ExtentAccess;
  readonly sectors: number;
  readonly type: ExtentType;
  /** undefined for ZERO, which needs no file. */
  readonly name: RequestedName | undefined;
  /** Sectors; where the piece begins in its file. */
  readonly offset: number | undefined;
  readonly line: number;
  readonly at: number;
}

/** Whether the line's first word is one of an extent, in any case: then it must be an extent. */
export function isExtentLine({ text }: Line): boolean {
  return /^(?:RW|RDONLY|NOACCESS)(?![A-Za-z0-9._-])/i.test(text);
}

/** `RW 20480 SPARSE "name.vmdk"`, one space between words and no more. Throws: refused. */
export function parseExtentLine(line: Line): DescriptorExtent {
  const form = /^([A-Z]+) (0|[1-9][0-9]{0,14}) ([A-Z]+)(?: "([^"]*)")?(?: (0|[1-9][0-9]{0,14}))?$/.exec(line.text);
  if (form === null) throw extentWrong(line, line.text, 'ACCESS SECTORS TYPE "NAME" OFFSET, one space between them');
  const [, accessWord, sectors, typeWord, name, offset] = form;
  const access = ACCESSES.find((one) => one === accessWord);
  if (access === undefined) throw extentWrong(line, String(accessWord), ACCESSES.join(', '));
  const type = TYPES.find((one) => one === typeWord);
  if (type === undefined) throw extentWrong(line, String(typeWord), TYPES.join(', '));
  if ((name === undefined) !== (type === 'ZERO')) throw extentWrong(line, line.text, 'a name, save for ZERO');
  if (offset === undefined ? type === 'FLAT' : !WITH_OFFSET.includes(type))
    throw extentWrong(line, line.text, type === 'FLAT' ? 'an offset behind the name' : `no offset for ${type}`);
  return {
    access,
    sectors: Number(sectors),
    type,
    name: name === undefined ? undefined : requestedName(name),
    offset: offset === undefined ? undefined : Number(offset),
    line: line.number,
    at: line.at,
  };
}

/** `text` has one character a byte. */
export function requestedName(text: string): RequestedName {
  const raw = bytesOf(text);
  return { text: decodeName(raw), bytes: raw };
}

/**
 * What is wrong with a name that should be that of a file beside this one; undefined: nothing.
 *
 * VMware's own files write `|22` for a quotation mark, and QEMU takes what stands before a colon for a protocol.
 */
export function nameComplaint({ text, bytes }: RequestedName): string | undefined {
  // FreeBSD's mkimg leaves the name of the file itself empty.
  if (bytes.byteLength === 0) return undefined;
  if (text === '.' || text === '..') return 'a name';
  if (bytes.byteLength > LIMITS.extentNameBytes) return `at most ${LIMITS.extentNameBytes} bytes`;
  return /[/\\:|]/.test(text) ? 'the name of a file beside this one, without / \\ : |' : undefined;
}

export function extentWrong({ number, at }: Pick<Line, 'number' | 'at'>, found: string, expected: string): PlimsollError {
  return vmdkError('refused', 'VMDK_EXTENT', { doing: DOING, field: `line ${number}`, at }, found, expected);
}
