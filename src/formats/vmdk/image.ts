/**
 * Opening a VMDK: header, descriptor, judgement, then the disk. Names that the image asks for are returned, never opened.
 * Source: VMware "Virtual Disk Format 5.0"; QEMU 7.2 block/vmdk.c for what QEMU would do with the same bytes.
 */
import { PlimsollError } from '#base';
import { type ReadableDevice, readExactly, readUpTo } from '#block';
import type { WriteHazard } from '../write-hazard.ts';
import { takeCensus, type VmdkCensus } from './census.ts';
import { dataAmong } from './data-among.ts';
import { type Descriptor, parseDescriptor } from './descriptor.ts';
import { embeddedText, hasDescriptorStart, ownText } from './descriptor-text.ts';
import { GrainDevice } from './grain-device.ts';
import { readGrainDirectory } from './grain-directory.ts';
import { GrainTables } from './grain-tables.ts';
import { emptyDescriptor, FOOTER_BYTES, hasSparseMagic, type Header, parseHeader } from './header.ts';
import { judge, requestsOf, type VmdkRequest } from './judge.ts';
import { LIMITS, SECTOR } from './layout.ts';
import { checkMarkers } from './stream-markers.ts';
import { vmdkError } from './vmdk-error.ts';
import { writeHazards } from './write-hazards.ts';

/** What header and descriptor say, and whether the image is one that is read. */
export interface VmdkFacts {
  /** undefined: the descriptor is a file of its own. */
  readonly header: Header | undefined;
  readonly descriptor: Descriptor;
  /** The room that the header gives to the descriptor, or the whole file of a descriptor. */
  readonly descriptorArea: Uint8Array;
  /** Other files that the image asks for, in its order. */
  readonly requests: readonly VmdkRequest[];
  /** Why `openVmdk` refuses it; undefined: it opens it. */
  readonly refusal: PlimsollError | undefined;
}

/** An open image. It holds no file of its own: the one who opened the device closes it. */
export interface VmdkImage {
  readonly header: Header;
  readonly descriptor: Descriptor;
  readonly requests: readonly VmdkRequest[];
  /** The guest's disk. */
  readonly device: ReadableDevice;
  /** Those of `places` (bytes of the file) at which the guest's bytes lie, compressed ones too. One walk over the tables. */
  readonly dataAmong: (places: readonly number[], signal?: AbortSignal) => Promise<Set<number>>;
  /** The walk that the figures rest on; each call walks anew. */
  readonly census: (signal?: AbortSignal) => Promise<VmdkCensus>;
  /** Whether all markers of a stream could be compared with its tables; true for a sparse extent. Throws: corrupt. */
  readonly checkMarkers: (signal?: AbortSignal) => Promise<boolean>;
  /** Why QEMU must not write to the image, though every reader sees the same disk in it. */
  readonly writeHazards: (census: VmdkCensus) => WriteHazard[];
}

/**
 * What the file says of itself. A refusal by policy (other files, a parent) is a fact here, so that the names can be shown.
 *
 * Bounds: reads the header, the footer, and at most 1 MiB of descriptor.
 * Throws: corrupt, unsupported, refused (what is no VMDK, or can be read in two ways); io, over-budget.
 */
export async function readVmdkFacts(file: ReadableDevice): Promise<VmdkFacts> {
  const sector = await readUpTo(file, 0, SECTOR);
  if (hasSparseMagic(sector)) {
    const header = await readHeader(file, sector);
    const { descriptorOffset: at, descriptorLength } = header;
    const descriptorArea = Uint8Array.from(await readExactly(file, at, descriptorLength, 'VMDK_TRUNCATED', 'read VMDK image'));
    const text = embeddedText(descriptorArea, at);
    if (text.byteLength === 0) throw emptyDescriptor(at);
    const descriptor = parseDescriptor(text, at);
    const isOwn = descriptor.createType === 'monolithicSparse' || descriptor.createType === 'streamOptimized';
    return { header, descriptor, descriptorArea, requests: requestsOf(descriptor, isOwn), refusal: judge(descriptor, header, at) };
  }
  if (!hasDescriptorStart(sector))
    throw new PlimsollError('corrupt', 'VMDK_MAGIC', {
      doing: 'read VMDK header',
      field: 'magic',
      at: 0,
      found: String.fromCharCode(...sector.subarray(0, 4)),
      expected: 'KDMV, or a descriptor that begins with # Disk DescriptorFile',
    });
  const descriptorArea = await readDescriptorFile(file);
  const descriptor = parseDescriptor(ownText(descriptorArea), 0);
  return {
    header: undefined,
    descriptor,
    descriptorArea,
    requests: requestsOf(descriptor, false),
    refusal: judge(descriptor, undefined, 0),
  };
}

/**
 * The image in `file`. `known`: its facts, where they were read already.
 *
 * Bounds: as `readVmdkFacts`, and the grain directory; then as much as is asked for. Memory: the directory (at most 32 MiB with
 * its twin, and as much for checking it), 16 grain tables, one inflated grain.
 * Throws: as `readVmdkFacts`, and what `VmdkFacts.refusal` says.
 */
export async function openVmdk(file: ReadableDevice, signal?: AbortSignal, known?: VmdkFacts): Promise<VmdkImage> {
  const { header, descriptor, descriptorArea, requests, refusal } = known ?? (await readVmdkFacts(file));
  if (refusal !== undefined) throw refusal;
  if (header === undefined) throw new PlimsollError('bug', 'INTERNAL', { doing: 'open VMDK', found: 'no header and no refusal' });
  const directory = await readGrainDirectory(file, header, signal);
  const device = new GrainDevice(file, header, new GrainTables(file, header, directory));
  return {
    header,
    descriptor,
    requests,
    device,
    dataAmong: (places, until) => dataAmong(file, header, directory, places, until),
    census: (until) => takeCensus(file, header, directory, until),
    checkMarkers: (until) => (header.kind === 'stream' ? checkMarkers(file, header, directory, until) : Promise.resolve(true)),
    writeHazards: (census) => writeHazards({ census, descriptorArea, fileLength: file.byteLength, places: directory.places }),
  };
}

/** One sparse extent of a split image, which has a header and tables and no descriptor of its own. */
export type VmdkExtentImage = Pick<VmdkImage, 'header' | 'device' | 'census'>;

/**
 * The sparse extent in `file`, whatever its descriptor is.
 *
 * Bounds: as `openVmdk`. Throws: corrupt, unsupported, refused; io, over-budget.
 */
export async function openVmdkExtent(file: ReadableDevice, signal?: AbortSignal): Promise<VmdkExtentImage> {
  const sector = await readUpTo(file, 0, SECTOR);
  const header = parseHeader(sector, file.byteLength, { isExtent: true });
  if ('needs' in header || header.kind !== 'sparse')
    throw vmdkError(
      'unsupported',
      'VMDK_EXTENT_STREAM',
      { doing: 'read VMDK header', field: 'extent', at: 0 },
      'a stream',
      'a sparse extent',
    );
  const directory = await readGrainDirectory(file, header, signal);
  const device = new GrainDevice(file, header, new GrainTables(file, header, directory));
  return { header, device, census: (until) => takeCensus(file, header, directory, until) };
}

async function readHeader(file: ReadableDevice, sector: Uint8Array): Promise<Header> {
  const header = parseHeader(sector, file.byteLength);
  if (!('needs' in header)) return header;
  const footer = await readUpTo(file, Math.max(0, file.byteLength - FOOTER_BYTES), FOOTER_BYTES);
  const whole = parseHeader(sector, file.byteLength, { footer });
  if (!('needs' in whole)) return whole;
  throw new PlimsollError('bug', 'INTERNAL', { doing: 'read VMDK header', found: 'a footer that was not taken' });
}

function readDescriptorFile(file: ReadableDevice): Promise<Uint8Array> {
  if (file.byteLength <= LIMITS.descriptorBytes) return readExactly(file, 0, file.byteLength, 'VMDK_TRUNCATED', 'read VMDK image');
  const place = { doing: 'read VMDK descriptor', field: 'length', at: 0 };
  throw vmdkError('refused', 'VMDK_DESCRIPTOR_LENGTH', place, file.byteLength, `at most ${LIMITS.descriptorBytes} bytes`);
}
