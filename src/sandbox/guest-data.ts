/** Which guest bytes of an image, its backing chain included, are data: what a copy of it has to hold. */
import { PlimsollError, roundUp } from '#base';
import type { StorageMap } from '#block';
import { type GuestRun, guestRuns, hasQcow2Magic, probe, PROBE_BYTES, readQcow2Header } from '#formats';
import { newHostCache, type OpenFile, openImageFile, realPlacesOf } from '#host';
import type { ExamineOptions } from './examine.ts';
import { metadataDevice } from './metadata-device.ts';
import { MAX_CHAIN_DEPTH, permitWithin, referencedPath, refusedName } from './references.ts';

/** One file of the chain, top first: its own runs, and how far it reaches. */
interface Layer {
  readonly file: OpenFile;
  readonly capacity: number;
  readonly runs: AsyncIterator<GuestRun>;
}

/**
 * The capacity of the image and, ascending, the guest runs that hold data; runs of zeros and of nothing are left out.
 * The bytes themselves are not read: data that happens to be all zeros counts as data.
 *
 * Throws: PlimsollError, also when a backing file may not or cannot be followed: then the content is not known.
 */
export async function withGuestData<T>(
  path: string,
  options: ExamineOptions,
  use: (capacity: number, data: AsyncIterable<GuestRun>) => Promise<T>,
): Promise<T> {
  const layers: Layer[] = [];
  try {
    await openLayers(path, options, layers);
    const [top] = layers as [Layer];
    return await use(top.capacity, onlyData(merge(layers, 0)));
  } finally {
    for (const layer of layers) await layer.file.close();
  }
}

async function openLayers(path: string, options: ExamineOptions, layers: Layer[]): Promise<void> {
  const cache = options.cache ?? newHostCache();
  const seen = new Set<string>();
  const allowed = await realPlacesOf(options.allowDirectories ?? []);
  let from: Buffer = Buffer.from(path);
  let format: string | undefined = options.format;
  for (;;) {
    options.signal?.throwIfAborted();
    const top = layers[0]?.file;
    const file = await openImageFile(from, top === undefined ? { cache } : { cache, permit: permitWithin(top, allowed) });
    const { layer, backing } = await openLayer(file, format, options).catch((error: unknown) => closeAndThrow(file, error));
    layers.push(layer);
    if (seen.has(file.identity)) throw chainError('CHAIN_LOOP', path, file.realPath, 'a file the chain has not gone through before');
    seen.add(file.identity);
    if (backing === undefined) return;
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

async function openLayer(
  file: OpenFile,
  declared: string | undefined,
  options: ExamineOptions,
): Promise<{ layer: Layer; backing?: { name: string; nameBytes: Uint8Array; format: string | undefined } }> {
  const facts = await file.facts();
  const prefix = await file.device.read(0, PROBE_BYTES);
  const format = declared ?? probe(prefix)[0]?.format ?? 'raw';
  if (format === 'raw') {
    const capacity = roundUp(facts.length, 512);
    return { layer: { file, capacity, runs: rawRuns(facts.map, capacity) } };
  }
  if (format !== 'qcow2' || !hasQcow2Magic(prefix)) {
    throw new PlimsollError('unsupported', 'FORMAT_NOT_READ', {
      doing: 'read guest data',
      image: file.path,
      found: `format ${format}`,
      expected: 'raw or qcow2',
    });
  }
  const device = metadataDevice(file.device, facts);
  const header = await readQcow2Header(device);
  const layer = { file, capacity: header.capacity, runs: guestRuns(device, header, options.signal) };
  const { backingFile: name, backingFileBytes: nameBytes, backingFormat } = header;
  return name === undefined || nameBytes === undefined ? { layer } : { layer, backing: { name, nameBytes, format: backingFormat } };
}

/** A raw file's stored and written ranges are data, the rest zeros; without a map everything is data. */
async function* rawRuns(map: StorageMap | undefined, capacity: number): AsyncGenerator<GuestRun, void> {
  if (map === undefined) {
    yield { start: 0, end: capacity, status: 'data' };
    return;
  }
  let at = 0;
  for (const { fileOffset, byteLength, unwritten } of map) {
    const end = Math.min(capacity, fileOffset + byteLength);
    if (unwritten || end <= at) continue;
    if (fileOffset > at) yield { start: at, end: fileOffset, status: 'zero' };
    yield { start: Math.max(at, fileOffset), end, status: 'data' };
    at = end;
  }
  if (at < capacity) yield { start: at, end: capacity, status: 'zero' };
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
