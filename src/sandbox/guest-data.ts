/** Which guest bytes of an image, its backing chain included, are data: what a copy of it has to hold. */
import { PlimsollError, roundUp } from '#base';
import { type ReadableDevice, readUpTo } from '#block';
import { type GuestRun, guestRuns, PROBE_BYTES, readQcow2Header, readSplitDisk } from '#formats';
import { newHostCache, type OpenFile, openImageFile, realpaths } from '#host';
import { type Finding, IMAGE_FORMATS, type ImageFormat } from '#wire';
import { leftOutOfCopy } from './copy-findings.ts';
import type { ExamineOptions } from './examine.ts';
import { openGuestDevice } from './guest-devices.ts';
import { extentRuns, rawRuns, storedRuns } from './guest-runs.ts';
import { metadataDevice } from './metadata-device.ts';
import { MAX_CHAIN_DEPTH, permitWithin, referencedPath, refusedName } from './references.ts';
import { chooseFormat, gatherEvidence } from './source-format.ts';
import { type ExtentFileAccess, splitDiskRuns } from './split-disk-runs.ts';

/** One file of the chain, top first: its own runs, and how far it reaches. */
interface Layer {
  readonly file: OpenFile;
  readonly capacity: number;
  readonly runs: AsyncGenerator<GuestRun>;
}

interface OpenedLayer {
  readonly layer: Layer;
  readonly findings: readonly Finding[];
  readonly backing?: { readonly name: string; readonly nameBytes: Uint8Array; readonly format: string | undefined };
}

/** What a copy has to hold. */
export interface GuestData {
  /** Bytes. */
  readonly capacity: number;
  /** Ascending runs that hold data; can be walked once. */
  readonly data: AsyncIterable<GuestRun>;
  /** On the image itself: what a copy leaves out, and what is uncertain about it. */
  readonly findings: readonly Finding[];
}

/**
 * The capacity of the image and, ascending, the guest runs that hold data; runs of zeros and of nothing are left out.
 * The bytes themselves are not read: data that happens to be all zeros counts as data.
 *
 * Throws: PlimsollError, also when a backing file may not or cannot be followed: then the content is not known.
 */
export async function withGuestData<T>(path: string, options: ExamineOptions, use: (content: GuestData) => Promise<T>): Promise<T> {
  const layers: Layer[] = [];
  try {
    const findings = await openLayers(path, options, layers);
    const [top] = layers as [Layer];
    return await use({ capacity: top.capacity, data: onlyData(layers.length === 1 ? top.runs : merge(layers, 0)), findings });
  } finally {
    for (const { runs, file } of layers) {
      await runs.return(undefined);
      await file.close();
    }
  }
}

/** Fills `layers`, the top first; the findings on the top. */
async function openLayers(path: string, options: ExamineOptions, layers: Layer[]): Promise<readonly Finding[]> {
  const cache = options.cache ?? newHostCache();
  const seen = new Set<string>();
  const allowed = await realpaths(options.allowDirectories ?? []);
  let from: Buffer = Buffer.from(path);
  let format: string | undefined = options.format;
  let onTop: readonly Finding[] = [];
  for (;;) {
    options.signal?.throwIfAborted();
    const top = layers[0]?.file;
    const file = await openImageFile(from, top === undefined ? { cache } : { cache, permit: permitWithin(top, allowed) });
    const open = { cache, permit: permitWithin(top ?? file, allowed) };
    const access = { descriptorPath: from, open, signal: options.signal };
    const { layer, backing, findings } = await openLayer(file, format, access).catch((error: unknown) => closeAndThrow(file, error));
    if (layers.length === 0) onTop = findings;
    layers.push(layer);
    if (seen.has(file.identity)) throw chainError('CHAIN_LOOP', path, file.realPath, 'a file that the chain does not contain yet');
    seen.add(file.identity);
    if (backing === undefined) return onTop;
    if (layers.length > MAX_CHAIN_DEPTH)
      throw chainError('CHAIN_TOO_DEEP', path, `more than ${MAX_CHAIN_DEPTH} files`, `at most ${MAX_CHAIN_DEPTH}`);
    const refused = refusedName(backing.name);
    if (refused !== undefined) throw chainError('REFERENCE_REFUSED', path, backing.name, `a plain file name: ${refused}`);
    from = referencedPath(from, backing.nameBytes);
    format = backing.format;
  }
}

async function closeAndThrow(file: OpenFile, error: unknown): Promise<never> {
  await file.close();
  throw error;
}

async function openLayer(file: OpenFile, declared: string | undefined, access: ExtentFileAccess): Promise<OpenedLayer> {
  const facts = await file.facts();
  const prefix = await readUpTo(file.device, 0, PROBE_BYTES);
  const format = await formatOf(file, prefix, declared);
  if (format === 'raw') {
    const capacity = roundUp(facts.length, SECTOR);
    return { layer: { file, capacity, runs: rawRuns(facts.map, capacity) }, findings: [] };
  }
  const device = metadataDevice(file.device, facts);
  const { signal } = access;
  if (format === 'qcow2') return openQcow2Layer(file, device, signal);
  const split = format === 'vmdk' ? await readSplitDisk(device) : undefined;
  if (split !== undefined) return { layer: { file, capacity: split.capacity, runs: splitDiskRuns(split, access) }, findings: [] };
  const { device: guest, isWholeInFile, findings, backing } = await openGuestDevice(format, device, signal);
  const extents = guest.extents(0, guest.byteLength, { signal });
  const runs = isWholeInFile && facts.map !== undefined ? storedRuns(extents, facts.map) : extentRuns(extents);
  const layer = { file, capacity: guest.byteLength, runs };
  return backing === undefined ? { layer, findings } : { layer, findings, backing: { ...backing, format: backing.format ?? undefined } };
}

const SECTOR = 512;

/** Throws: unsupported, FORMAT_NOT_READ; refused, FORMAT_AMBIGUOUS. */
async function formatOf(file: OpenFile, prefix: Uint8Array, declared: string | undefined): Promise<ImageFormat> {
  if (declared === undefined) return chooseFormat(await gatherEvidence(file.device, prefix), undefined, false, '-F').format;
  const name = declared === QEMU_NAME_OF_VHD ? 'vhd' : declared;
  const known = IMAGE_FORMATS.find((format) => format === name);
  if (known !== undefined) return known;
  throw new PlimsollError('unsupported', 'FORMAT_NOT_READ', {
    doing: 'read guest data',
    image: file.path,
    found: `format ${declared}`,
    expected: `one of ${IMAGE_FORMATS.join(', ')}`,
  });
}

/** What an image names as the format of a backing file comes from QEMU. */
const QEMU_NAME_OF_VHD = 'vpc';

async function openQcow2Layer(file: OpenFile, device: ReadableDevice, signal: AbortSignal | undefined): Promise<OpenedLayer> {
  const header = await readQcow2Header(device);
  const layer = { file, capacity: header.capacity, runs: guestRuns(device, header, signal) };
  const findings = leftOutOfCopy(header);
  const { backingFile: name, backingFileBytes: nameBytes, backingFormat } = header;
  if (name === undefined || nameBytes === undefined) return { layer, findings };
  return { layer, findings, backing: { name, nameBytes, format: backingFormat } };
}

/** Layer `index` over those below it; where all are silent, or a shorter one has ended, the guest reads zeros. */
async function* merge(layers: readonly Layer[], index: number): AsyncGenerator<GuestRun> {
  const layer = layers[index];
  if (layer === undefined) return;
  const below = merge(layers, index + 1);
  let under = await below.next();
  for (let own = await layer.runs.next(); !own.done; own = await layer.runs.next()) {
    const run: GuestRun = own.value;
    if (run.status !== 'unallocated') {
      yield run;
      continue;
    }
    while (!under.done && under.value.end <= run.start) under = await below.next();
    while (!under.done && under.value.start < run.end) {
      yield { start: Math.max(run.start, under.value.start), end: Math.min(run.end, under.value.end), status: under.value.status };
      if (under.value.end > run.end) break;
      under = await below.next();
    }
  }
}

async function* onlyData(runs: AsyncIterable<GuestRun>): AsyncGenerator<GuestRun> {
  for await (const run of runs) if (run.status === 'data') yield run;
}

function chainError(code: string, image: string, found: string, expected: string): PlimsollError {
  return new PlimsollError('refused', code, { doing: 'follow the backing chain', image, found, expected });
}
