/**
 * The disk that the guest sees: an image with its backing files, data file and extent files, opened under the reference policy.
 * What a copy holds (`measure --from`) and what is read of an image both come from here.
 */
import { PlimsollError } from '#base';
import { filterDevice, type ReadableDevice, readUpTo, withBacking } from '#block';
import { openQcow2, openRaw, PROBE_BYTES, type Qcow2Header, readQcow2Header, readSplitDisk } from '#formats';
import { type Finding, IMAGE_FORMATS, type ImageFormat } from '#wire';
import { leftOutOfCopy } from './copy-findings.ts';
import { type BackingReference, referencesOfQcow2 } from './file-references.ts';
import { openGuestDevice } from './guest-devices.ts';
import { metadataDevice } from './metadata-device.ts';
import type { OpenReference, ReferencedFile } from './referenced-file.ts';
import { type Reference, ReferenceResolver } from './resolver.ts';
import { chooseFormat, gatherEvidence } from './source-format.ts';
import { SplitDiskDevice } from './split-disk.ts';
import { withStoredExtents } from './stored-extents.ts';

export interface ContentOptions {
  /** The name that the image was opened by, as the kernel takes it: its references are relative to it. */
  readonly path: Buffer;
  /** The same for people. */
  readonly shownPath: string;
  /** undefined: a signature decides, and raw is a guess. */
  readonly format: ImageFormat | undefined;
  /** Id or name of the internal snapshot to read; undefined: the active state. */
  readonly snapshot?: string | undefined;
  readonly open: OpenReference;
  /**
   * extents: the tables alone are read, within their budget, so that encrypted images and those without their data file are mapped,
   * too. bytes: both must be readable.
   */
  readonly purpose: 'extents' | 'bytes';
  readonly signal?: AbortSignal | undefined;
}

export interface GuestContent extends AsyncDisposable {
  readonly format: ImageFormat;
  /** Its extents include those of the backing files, each at the depth of its file. Where all are unallocated it reads as zeros. */
  readonly device: ReadableDevice;
  /** On the image itself: what a copy leaves out, and what is uncertain about it. */
  readonly findings: readonly Finding[];
}

/**
 * Opens the content of `top`, which stays the caller's to close; disposing of the content closes all other files.
 *
 * Throws: corrupt, unsupported, over-budget, io; refused and not-found, also for a backing file that may not or cannot be followed.
 */
export async function openContent(top: ReferencedFile, options: ContentOptions): Promise<GuestContent> {
  const { path, shownPath, open, signal } = options;
  const resolver = new ReferenceResolver({ identity: top.identity, shownPath }, open, signal);
  const chain = new ContentChain(resolver, options);
  try {
    const { format, device, findings } = await chain.openLayer({ file: top, path, format: options.format, depth: 0 });
    return { format, device, findings, [Symbol.asyncDispose]: () => chain.close() };
  } catch (error) {
    await chain.close();
    throw error;
  }
}

/** A file of the chain. `depth`: 0 for the image itself. */
interface LayerFile {
  readonly file: ReferencedFile;
  readonly path: Buffer;
  /** As its image above declares it: a name of QEMU's. */
  readonly format: string | undefined;
  readonly depth: number;
}

interface Layer {
  readonly format: ImageFormat;
  readonly device: ReadableDevice;
  readonly findings: readonly Finding[];
}

class ContentChain {
  readonly #resolver: ReferenceResolver;
  readonly #options: ContentOptions;
  readonly #closers: (() => Promise<void>)[] = [];

  constructor(resolver: ReferenceResolver, options: ContentOptions) {
    this.#resolver = resolver;
    this.#options = options;
  }

  /** Closes all files but the image itself. */
  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }

  async openLayer(layer: LayerFile): Promise<Layer> {
    const { file, path, depth } = layer;
    const { signal, purpose, shownPath } = this.#options;
    signal?.throwIfAborted();
    const facts = await file.facts();
    const format = await formatOf(layer, depth === 0 ? shownPath : file.realPath);
    if (format === 'raw') return { format, device: openRaw(file.device, facts.map), findings: [] };
    const device = purpose === 'bytes' ? file.device : metadataDevice(file.device, facts);
    if (format === 'qcow2') return this.#openQcow2(device, layer);
    const split = format === 'vmdk' ? await readSplitDisk(device) : undefined;
    if (split !== undefined) {
      const disk = new SplitDiskDevice(split, { descriptorPath: path, depth, resolver: this.#resolver, purpose });
      this.#closers.push(() => disk[Symbol.asyncDispose]());
      return { format, device: disk, findings: [] };
    }
    const { device: own, isWholeInFile, findings, backing } = await openGuestDevice(format, device, signal);
    const guest = isWholeInFile && facts.map !== undefined ? withStoredExtents(own, openRaw(file.device, facts.map)) : own;
    if (backing === undefined) return { format, device: guest, findings };
    return { format, device: withBacking(guest, await this.#openBacking(layer, backing)), findings };
  }

  async #openQcow2(device: ReadableDevice, layer: LayerFile): Promise<Layer> {
    const { purpose, snapshot } = this.#options;
    const header = await readQcow2Header(device);
    const references = referencesOfQcow2(header);
    const dataFile = purpose === 'bytes' && header.externalDataFile ? await this.#openDataFile(layer, references.data[0]) : UNREAD;
    const backing = references.backing === undefined ? undefined : await this.#openBacking(layer, references.backing);
    const options = { backing, dataFile, snapshot: layer.depth === 0 ? snapshot : undefined };
    const guest =
      purpose === 'bytes' ? await openQcow2(device, header, options) : withoutBytes(await openQcow2(device, unencrypted(header), options));
    return { format: 'qcow2', device: guest, findings: leftOutOfCopy(header) };
  }

  async #openBacking({ path, depth }: LayerFile, backing: BackingReference): Promise<ReadableDevice> {
    const opened = await this.#open(path, { ...backing, role: 'backing', depth: depth + 1 });
    const { device } = await this.openLayer({ ...opened, format: backing.format ?? undefined, depth: depth + 1 });
    return device;
  }

  async #openDataFile(
    { path, depth }: LayerFile,
    named: Omit<BackingReference, 'format'> | undefined,
  ): Promise<ReadableDevice | undefined> {
    if (named === undefined) return undefined;
    const { name, nameBytes } = named;
    const { file } = await this.#open(path, { role: 'data', depth: depth + 1, name, nameBytes, format: 'raw' });
    return file.device;
  }

  async #open(from: Buffer, reference: Reference): Promise<{ readonly file: ReferencedFile; readonly path: Buffer }> {
    const { file, path } = await this.#resolver.openFile(from, reference);
    this.#closers.push(() => file.close());
    return { file, path };
  }
}

/** Of a device whose extents alone are wanted. */
function withoutBytes(device: ReadableDevice): ReadableDevice {
  return filterDevice(device, { read: () => Promise.reject(unread()) });
}

const UNREAD: ReadableDevice = {
  byteLength: 0,
  read: () => Promise.reject(unread()),
  async *extents() {},
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

function unread(): PlimsollError {
  return new PlimsollError('bug', 'CONTENT_UNREAD', {
    doing: 'read guest data',
    found: 'content opened for its extents',
    expected: 'for bytes',
  });
}

/** The tables of an encrypted image are those of any other. */
function unencrypted(header: Qcow2Header): Qcow2Header {
  return { ...header, encryption: 'none' };
}

/** Throws: unsupported, FORMAT_NOT_READ; refused, FORMAT_AMBIGUOUS. */
async function formatOf({ file, format: declared, depth }: LayerFile, shownPath: string): Promise<ImageFormat> {
  if (declared === undefined) {
    const prefix = await readUpTo(file.device, 0, PROBE_BYTES);
    return chooseFormat(await gatherEvidence(file.device, prefix), undefined, false, depth === 0 ? '-F' : '-f').format;
  }
  const name = declared === QEMU_NAME_OF_VHD ? 'vhd' : declared;
  const known = IMAGE_FORMATS.find((format) => format === name);
  if (known !== undefined) return known;
  throw new PlimsollError('unsupported', 'FORMAT_NOT_READ', {
    doing: 'read guest data',
    image: shownPath,
    found: `format ${declared}`,
    expected: `one of ${IMAGE_FORMATS.join(', ')}`,
  });
}

/** What an image names as the format of a backing file comes from QEMU. */
const QEMU_NAME_OF_VHD = 'vpc';
