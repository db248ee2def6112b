/** The verdict on a file: opened once, judged by its descriptor, with the identity of that very object. */
import { PlimsollError } from '#base';
import { type ReadableDevice, withReadBudget } from '#block';
import { type GrantedFile, runConfined } from '#confined';
import { type FileBasics, type FileStamp, type HostCache, newHostCache, openImageFile, type OpenFile } from '#host';
import { metadataBudget, metadataDevice } from '#references';
import type { VetReason, VetReport } from '#wire';
import { compareWithQemu } from './compare.ts';
import { checkedJudgement } from './answers.ts';
import { conclude } from './conclude.ts';
import type { VetParams } from './handler.ts';
import { hashContent } from './hashed-content.ts';
import { type Judgement, judge } from './judge.ts';
import { DEFAULT_POLICY, type VetPolicy } from './policy.ts';
import { Reasons } from './reasons.ts';

export interface VetOptions {
  /** The format that the sender declares. */
  readonly declared?: string | undefined;
  readonly policy?: VetPolicy | undefined;
  /** Hash the whole file, so that the consumer can compare; a stream is always hashed. */
  readonly sha256?: boolean | undefined;
  /**
   * Reads the image in this process instead of a confined one. Only for --unconfined and tests; never a fallback.
   */
  readonly unconfined?: boolean | undefined;
  /** Asks `qemu-img info`, confined as well, and calls ambiguous what the two read differently. Files only. */
  readonly compare?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Judges the image at `path`.
 *
 * Bounds: metadata of at most twice the file's storage plus 256 MiB; with `sha256` the whole file is read once.
 * Throws: not-found, refused (no regular file), io, usage; unsupported, SANDBOX_UNAVAILABLE; over-budget, when the confined
 * process runs into its limits; the signal's reason. What is wrong with the image is in the report.
 */
export async function vetFile(path: string | Buffer, options: VetOptions = {}): Promise<VetReport> {
  options.signal?.throwIfAborted();
  await using opened = await openForVerdict(path, newHostCache());
  const hashed = options.sha256 === true ? await hashContent(opened.file.device, options.signal) : undefined;
  const judgement = await judgeOrChanged(opened, options, hashed?.device);
  // Awaited: the file is closed on leaving.
  return await reportOn(opened, judgement, { ...options, hash: hashed?.sha256 });
}

/** A judgement that ends because the content is not what was hashed is one on a file that changed. */
async function judgeOrChanged(opened: OpenedForVerdict, options: VetOptions, hashed: ReadableDevice | undefined): Promise<Judgement> {
  try {
    return options.unconfined === true ? await judgeInline(opened, options, hashed) : await judgeConfined(opened, options, hashed);
  } catch (thrown) {
    if (!(thrown instanceof PlimsollError) || thrown.code !== 'CONTENT_CHANGED') throw thrown;
    const reasons = new Reasons();
    reasons.error(thrown);
    const { declared = null } = options;
    const nothing = { format: null, examined: 'none', capacity: null, signs: [], details: {} } as const;
    return { ...nothing, declared, length: opened.before.size, reasons: reasons.list() };
  }
}

/** A file to be judged, and its state before. Its owner closes it. */
export interface OpenedForVerdict extends AsyncDisposable {
  readonly file: OpenFile;
  readonly before: FileStamp;
  /** Whether a process could change the file without a trace when it was opened; undefined where that is not known. */
  readonly writers: boolean | undefined;
  readonly basics: FileBasics;
}

/** Throws: as openImageFile. `cache` is shared by the files of one run; `isLocal` as in OpenOptions. */
export async function openForVerdict(path: string | Buffer, cache: HostCache, isLocal = false): Promise<OpenedForVerdict> {
  const file = await openImageFile(path, { cache, isLocal });
  try {
    const [before, writers] = [file.stamp(), await file.writers()];
    return { file, before, writers, basics: await file.basics(), [Symbol.asyncDispose]: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function judgeInline(
  { file }: OpenedForVerdict,
  { declared, policy = DEFAULT_POLICY, signal }: VetOptions,
  hashed: ReadableDevice | undefined,
): Promise<Judgement> {
  const facts = await file.facts();
  const device = hashed === undefined ? metadataDevice(file.device, facts) : withReadBudget(hashed, metadataBudget(facts));
  return judge(device, { declared, policy, name: file.path, signal });
}

/** The worker reads the open file itself; hashed content is read for it here, since each read is compared. */
async function judgeConfined(
  opened: OpenedForVerdict,
  { declared, policy = DEFAULT_POLICY, signal }: VetOptions,
  hashed: ReadableDevice | undefined,
): Promise<Judgement> {
  const params: VetParams = { declared, policy, ...requestOn(opened) };
  const descriptor = descriptorOf(opened);
  const source = hashed === undefined ? { files: [descriptor] } : { onFileRequest: handing(hashed) };
  const answer = await runConfined({ name: 'vet', params }, { ...source, signal, image: opened.file.path });
  return checkedJudgement(answer, { declared, byteLength: descriptor.byteLength });
}

/** A device for a worker that has no descriptor: it asks for it piece by piece. */
export function handing(device: ReadableDevice): () => Promise<GrantedFile> {
  return () => Promise.resolve({ file: { device }, close: async () => {} });
}

/** What a confined worker is told of the file. */
export function requestOn({ file, basics }: OpenedForVerdict): Pick<VetParams, 'name' | 'readBudget'> {
  return { name: file.path, readBudget: metadataBudget(basics) };
}

/** What a confined worker gets of the file. */
export function descriptorOf({ file, before }: OpenedForVerdict): { readonly fd: number; readonly byteLength: number } {
  return { fd: file.fd, byteLength: before.size };
}

/**
 * The report on a file that was judged: with the second opinion and the hash that were asked for, and whether it kept still.
 *
 * Throws: io; the signal's reason.
 */
export async function reportOn(
  { file, before, basics, writers }: OpenedForVerdict,
  judgement: Judgement,
  options: ReportOptions,
): Promise<VetReport> {
  const { signal, policy = DEFAULT_POLICY, hash } = options;
  const compared = options.compare === true ? await compareWithQemu(file.fd, judgement, signal) : [];
  const use = { changed: !isSame(before, file.stamp()), openForWriting: basics.openForWriting === true, writers: writers === true };
  const reasons = [...reasonsOfUse(use), ...compared, ...judgement.reasons, ...reasonsOfStorage(judgement, basics)];
  const { device, inode, size, mtimeNs } = before;
  const method = hash !== undefined ? 'content' : writers === false ? 'stamp' : 'stamp-only';
  const identity = { device, inode, size, mtimeNs: String(mtimeNs), sha256: hash ?? null, method } as const;
  return conclude({ ...judgement, reasons }, { path: file.path, identity, policy });
}

export interface ReportOptions extends VetOptions {
  /** SHA-256 of the content that was judged. */
  readonly hash?: string | undefined;
}

/** A verdict on a file that is being written would describe an earlier state. */
function reasonsOfUse({ changed, openForWriting, writers }: { changed: boolean; openForWriting: boolean; writers: boolean }): VetReason[] {
  const reasons = new Reasons();
  if (changed) reasons.refuse('CHANGED', 'The file changed while it was vetted: vet it again after its writer has finished.');
  else if (openForWriting) reasons.refuse('IN_USE', 'QEMU has the file open for writing: its content may change after this verdict.');
  else if (writers)
    reasons.refuse('IN_USE', 'A process has the file open or mapped for writing: its content may change after this verdict.');
  return reasons.list();
}

/** Shorter files can have their bytes in the inode, and no storage. */
const MIN_BLANK_BYTES = 64 * 1024;

/** On a filesystem that plimsoll knows, a raw disk without storage is a hole from its start to its end. */
function reasonsOfStorage({ format }: Judgement, { length, allocation, filesystem }: FileBasics): VetReason[] {
  const reasons = new Reasons();
  if (format === 'raw' && allocation === 0 && length >= MIN_BLANK_BYTES && filesystem !== 'other')
    reasons.note('BLANK', 'The file has no allocated storage: every byte of the disk reads as zero.');
  return reasons.list();
}

function isSame(one: FileStamp, other: FileStamp): boolean {
  return one.size === other.size && one.mtimeNs === other.mtimeNs && one.ctimeNs === other.ctimeNs;
}
