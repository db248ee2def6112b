/**
 * The text descriptor, parsed so strictly that every reader that we know (QEMU's substring search among them) sees the same in
 * it. Source: VMware "Virtual Disk Format 5.0", "The Disk Descriptor File"; QEMU 7.2 block/vmdk.c for what it looks at.
 */
import type { PlimsollError } from '#base';
import { DOING, type Line, lineWrong, readLines } from './descriptor-text.ts';
import { type DescriptorExtent, isExtentLine, parseExtentLine, requestedName, type RequestedName } from './extent-line.ts';
import { vmdkError } from './vmdk-error.ts';

/** What a descriptor says; nothing in it is judged yet. */
export interface Descriptor {
  readonly version: number;
  readonly cid: number;
  readonly parentCid: number;
  readonly createType: string;
  readonly encoding: string | undefined;
  readonly parentFileNameHint: RequestedName | undefined;
  /** The file of changed block tracking, beside the image. */
  readonly changeTrackPath: RequestedName | undefined;
  /** In the order of the disk. */
  readonly extents: readonly DescriptorExtent[];
  /** The disk data base, without `ddb.`: geometry, adapter type and the like. */
  readonly database: ReadonlyMap<string, string>;
}

/** Keys outside of the disk data base: how the value is written. */
const HEADER_KEYS: Readonly<Record<string, RegExp>> = {
  version: /^[123]$/,
  encoding: /^"[A-Za-z0-9_-]{1,40}"$/,
  // Xen Orchestra writes a decimal number of up to ten digits; without a parent it is not compared.
  CID: /^(?:[0-9a-fA-F]{1,8}|[0-9]{9,10})$/,
  parentCID: /^[0-9a-fA-F]{1,8}$/,
  isNativeSnapshot: /^"(?:no|yes)"$/,
  createType: /^"[A-Za-z0-9]{1,40}"$/,
  parentFileNameHint: /^"[^"]*"$/,
  changeTrackPath: /^"[^"]*"$/,
};
/** Keys that QEMU 7.2 does not look for in an image with a header; other readers compare them without regard to case. */
const KEYS_IN_ANY_CASE: readonly string[] = ['version', 'encoding', 'isNativeSnapshot', 'createType'];
/** QEMU takes the first `CID=` of the text for the CID, also that of `parentCID=`. */
const REQUIRED = ['version', 'CID', 'parentCID', 'createType'] as const;
const NO_PARENT = 0xffffffff;

/** Words that QEMU looks for anywhere in the text, comments and values included. */
const SOUGHT_ANYWHERE = /createType|parentFileNameHint|parentCID|CID=/i;
/** Until the CID has come: QEMU reads and writes it behind the first `CID` of the text. */
const SOUGHT_BEFORE_CID = /CID/;
const SOUGHT_IN_DATABASE = /createType|parentFileNameHint/i;

/** The parts of a descriptor, in their order; comments and empty lines may stand anywhere. */
const PART = { header: 0, extents: 1, database: 2 } as const;

/**
 * What the descriptor says that begins at byte `at` of its file.
 *
 * Bounds: at most 1 MiB of text, lines of at most 4 KiB.
 * Throws: refused, with the line and the byte offset, whatever is not in the one form that all readers agree on.
 */
export function parseDescriptor(text: Uint8Array, at: number): Descriptor {
  const reader = new DescriptorReader(at);
  for (const line of readLines(text, at)) reader.take(line);
  return reader.finish();
}

class DescriptorReader {
  readonly #at: number;
  readonly #values = new Map<string, string>();
  readonly #seen = new Set<string>();
  readonly #extents: DescriptorExtent[] = [];
  readonly #database = new Map<string, string>();
  #part: number = PART.header;

  constructor(at: number) {
    this.#at = at;
  }

  take(line: Line): void {
    const { text } = line;
    if (text === '') return;
    if (text.startsWith('#')) return this.#refuseSought(line, text);
    if (isExtentLine(line)) {
      this.#enter(PART.extents, line);
      refuseSought(line, text, SOUGHT_ANYWHERE);
      this.#extents.push(parseExtentLine(line));
      return;
    }
    const form = /^([A-Za-z][A-Za-z0-9._-]*)( *=) *(.*)$/.exec(text);
    if (form === null) throw lineWrong(line, text, 'key=value, a comment, an extent or nothing');
    const [, key = '', , value = ''] = form;
    this.#claim(key, line);
    if (key.startsWith('ddb.')) this.#takeDatabase(key, value, line);
    else this.#takeHeader(key, value, line);
  }

  #takeDatabase(key: string, value: string, line: Line): void {
    this.#enter(PART.database, line);
    refuseSought(line, line.text, SOUGHT_IN_DATABASE);
    if (!/^"[^"]*"$/.test(value)) throw lineWrong(line, value, 'a value in quotation marks');
    this.#database.set(key.slice('ddb.'.length), value.slice(1, -1));
  }

  #takeHeader(written: string, value: string, line: Line): void {
    const meant = Object.keys(HEADER_KEYS).find((known) => known.toLowerCase() === written.toLowerCase());
    const isInAnyCase = meant !== undefined && KEYS_IN_ANY_CASE.includes(meant);
    const form = meant === undefined ? undefined : HEADER_KEYS[meant];
    if (meant === undefined || form === undefined || (written !== meant && !isInAnyCase))
      throw keyWrong(line, written, meant ?? 'a key that is known, or one that begins with ddb.');
    const key = meant;
    const part = key === 'changeTrackPath' ? Math.min(this.#part, PART.extents) : PART.header;
    this.#enter(part, line);
    if (this.#values.size === 0 && key !== 'version') throw keyWrong(line, key, 'version before every other key');
    if (key === 'parentCID' && !this.#values.has('CID')) throw keyWrong(line, key, 'CID before parentCID');
    // QEMU looks for the others with their equals sign and value right behind.
    const isSpaced = !isInAnyCase && line.text !== `${key}=${value}`;
    if (isSpaced || !form.test(value)) throw lineWrong(line, line.text, `${key}= and a value of the usual form, without spaces`);
    this.#refuseSought(line, value);
    this.#values.set(key, value.replaceAll('"', ''));
  }

  finish(): Descriptor {
    const values = this.#values;
    for (const key of REQUIRED) {
      if (!values.has(key)) throw keyWrong({ number: 1, at: this.#at, text: '' }, `no ${key}`, REQUIRED.join(', '));
    }
    const nameOf = (key: string): RequestedName | undefined => {
      const name = values.get(key);
      return name === undefined ? undefined : requestedName(name);
    };
    return {
      version: Number(values.get('version')),
      cid: Number.parseInt(values.get('CID') ?? '', 16),
      parentCid: Number.parseInt(values.get('parentCID') ?? '', 16),
      createType: values.get('createType') ?? '',
      encoding: values.get('encoding'),
      parentFileNameHint: nameOf('parentFileNameHint'),
      changeTrackPath: nameOf('changeTrackPath'),
      extents: this.#extents,
      database: this.#database,
    };
  }

  #refuseSought(line: Line, text: string): void {
    refuseSought(line, text, SOUGHT_ANYWHERE);
    if (!this.#values.has('CID')) refuseSought(line, text, SOUGHT_BEFORE_CID);
  }

  /** A key stands once, whatever its case: readers disagree on which of two counts. */
  #claim(key: string, line: Line): void {
    const folded = key.toLowerCase();
    if (this.#seen.has(folded)) throw keyWrong(line, `${key} a second time`, 'each key once');
    this.#seen.add(folded);
  }

  #enter(part: number, line: Line): void {
    if (part < this.#part) throw keyWrong(line, line.text, 'the header, then the extents, then the disk data base');
    this.#part = part;
  }
}

/** Whether the descriptor says that there is a parent. */
export function hasParent({ parentCid, parentFileNameHint }: Descriptor): boolean {
  return parentCid !== NO_PARENT || parentFileNameHint !== undefined;
}

function refuseSought(line: Line, text: string, sought: RegExp): void {
  const found = sought.exec(text);
  if (found !== null) throw keyWrong(line, `${found[0]} inside of other text`, 'such a word only as the key of a line');
}

function keyWrong({ number, at }: Line, found: string, expected: string): PlimsollError {
  return vmdkError('refused', 'VMDK_DESCRIPTOR_KEY', { doing: DOING, field: `line ${number}`, at }, found, expected);
}
