/** The verdict on a file: opened once, judged by its descriptor, with the identity of that very object. */
import { createHash } from 'node:crypto';
import type { BlockDevice } from '#block';
import { type FileBasics, type FileStamp, type HostCache, newHostCache, openImageFile, type OpenFile } from '#host';
import type { VetReason, VetReport } from '#wire';
import { metadataBudget, metadataDevice } from '../metadata-device.ts';
import { type ConfinedFile, runConfined } from '../worker/client.ts';
import { compareWithQemu } from './compare.ts';
import { checkedJudgement } from './answers.ts';
import { conclude } from './conclude.ts';
import type { VetParams } from './handler.ts';
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
   * Reads the image in this process instead of a confined one. For whoever has typed --unconfined, and for tests: never a way
   * out when the wall is missing.
   */
  readonly unconfined?: boolean | undefined;
  /** Asks `qemu-img info`, confined as well, and calls ambiguous what the two read differently. Files only. */
  readonly compare?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Bytes hashed at a time. */
const HASH_STEP = 1024 * 1024;

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
  const judgement = options.unconfined === true ? await judgeInline(opened, options) : await judgeConfined(opened, options);
  // Awaited: the file is closed on leaving.
  return await reportOn(opened, judgement, options);
}

/** A file that is to be judged, and what it was before. Whoever has it closes it. */
export interface OpenedForVerdict extends AsyncDisposable {
  readonly file: OpenFile;
  readonly before: FileStamp;
  readonly basics: FileBasics;
}

/** Throws: as openImageFile. `cache` is shared by the files of one run; `isLocal` as in OpenOptions. */
export async function openForVerdict(path: string | Buffer, cache: HostCache, isLocal = false): Promise<OpenedForVerdict> {
  const file = await openImageFile(path, { cache, isLocal });
  try {
    return { file, before: file.stamp(), basics: await file.basics(), [Symbol.asyncDispose]: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function judgeInline({ file }: OpenedForVerdict, { declared, policy = DEFAULT_POLICY, signal }: VetOptions): Promise<Judgement> {
  return judge(metadataDevice(file.device, await file.facts()), { declared, policy, name: file.path, signal });
}

async function judgeConfined(opened: OpenedForVerdict, { declared, policy = DEFAULT_POLICY, signal }: VetOptions): Promise<Judgement> {
  const params: VetParams = { declared, policy, ...requestOn(opened) };
  const descriptor = descriptorOf(opened);
  const answer = await runConfined({ name: 'vet', params }, { files: [descriptor], signal, image: opened.file.path });
  return checkedJudgement(answer, { declared, byteLength: descriptor.byteLength });
}

/** What a confined worker is told of the file. */
export function requestOn({ file, basics }: OpenedForVerdict): Pick<VetParams, 'name' | 'readBudget'> {
  return { name: file.path, readBudget: metadataBudget(basics) };
}

/** What a confined worker gets of the file. */
export function descriptorOf({ file, before }: OpenedForVerdict): ConfinedFile {
  return { fd: file.fd, byteLength: before.size };
}

/**
 * The report on a file that was judged: with the second opinion and the hash that were asked for, and whether it kept still.
 *
 * Throws: io; the signal's reason.
 */
export async function reportOn({ file, before, basics }: OpenedForVerdict, judgement: Judgement, options: VetOptions): Promise<VetReport> {
  const { signal } = options;
  const compared = options.compare === true ? await compareWithQemu(file.fd, judgement, signal) : [];
  const sha256 = options.sha256 === true ? await hashOf(file.device, signal) : null;
  const changed = !isSame(before, file.stamp());
  const reasons = [
    ...reasonsOfStorage(judgement, basics),
    ...reasonsOfUse({ changed, openForWriting: basics.openForWriting === true }),
    ...compared,
    ...judgement.reasons,
  ];
  const { device, inode, size, mtimeNs } = before;
  const identity = { device, inode, size, mtimeNs: String(mtimeNs), sha256 };
  return conclude({ ...judgement, reasons }, { path: file.path, identity, policy: options.policy ?? DEFAULT_POLICY });
}

/** A verdict on a file that somebody writes to would speak of a file that is no more. */
function reasonsOfUse({ changed, openForWriting }: { changed: boolean; openForWriting: boolean }): VetReason[] {
  const reasons = new Reasons();
  if (changed) reasons.refuse('CHANGED', 'The file changed while it was judged: vet it again when its writer is done.');
  else if (openForWriting)
    reasons.refuse('IN_USE', 'A QEMU has the file open for writing: what is judged now may not be what is used later.');
  return reasons.list();
}

/** Shorter files can have their bytes in the inode, and no storage. */
const LEAST_BLANK_BYTES = 64 * 1024;

/** On a filesystem that plimsoll knows, a raw disk without storage is a hole from its start to its end. */
function reasonsOfStorage({ format }: Judgement, { length, allocation, filesystem }: FileBasics): VetReason[] {
  const reasons = new Reasons();
  if (format === 'raw' && allocation === 0 && length >= LEAST_BLANK_BYTES && filesystem !== 'other')
    reasons.note('BLANK', 'The file has no storage: every byte of the disk reads as zero.');
  return reasons.list();
}

function isSame(one: FileStamp, other: FileStamp): boolean {
  return one.size === other.size && one.mtimeNs === other.mtimeNs && one.ctimeNs === other.ctimeNs;
}

async function hashOf(device: BlockDevice, signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash('sha256');
  const memory = new Uint8Array(HASH_STEP);
  for (let at = 0; at < device.byteLength; at += HASH_STEP) {
    signal?.throwIfAborted();
    hash.update(await device.read(at, HASH_STEP, memory));
    // What lies in the page cache is read without waiting: signals and workers get their turn here.
    await new Promise(setImmediate);
  }
  return hash.digest('hex');
}
