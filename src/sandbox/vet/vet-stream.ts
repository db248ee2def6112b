/**
 * The verdict on an image that is still arriving: one pass, bounded memory. The beginning and the end are kept, which is
 * where headers, descriptors and footers lie; and of what is between, the tables that the beginning announces.
 */
import type { Range } from '#base';
import { createHash } from 'node:crypto';
import { type ReadableDevice, withReadBudget } from '#block';
import { runConfined } from '#confined';
import type { VetReport } from '#wire';
import { checkedJudgement, checkedPlaces } from './answers.ts';
import { conclude } from './conclude.ts';
import { placesIn } from './handler.ts';
import { type Judgement, judge } from './judge.ts';
import { HEAD_BYTES, KeptPieces } from './kept-pieces.ts';
import { DEFAULT_POLICY } from './policy.ts';
import { handing, type VetOptions } from './vet-file.ts';

/** Metadata read from what is kept; tables may be read more than once, never without end. */
const READ_BUDGET = 256 * 1024 * 1024;

type StreamOptions = Omit<VetOptions, 'sha256'>;

/**
 * Judges the bytes of `source`, which is read to its end, or to the policy's `maxLength`.
 *
 * Bounds: 4 MiB of the beginning, 1 MiB of the end and at most 64 MiB of announced tables are kept. Tables that lie
 * elsewhere are not examined, and `examined` says so.
 * Throws: whatever the source throws; usage; the signal's reason.
 */
export async function vetStream(source: AsyncIterable<Uint8Array>, options: StreamOptions = {}): Promise<VetReport> {
  const { policy = DEFAULT_POLICY, signal } = options;
  const hash = createHash('sha256');
  const kept = new KeptPieces();
  for await (const piece of source) {
    signal?.throwIfAborted();
    hash.update(piece);
    const inHead = Math.max(0, Math.min(piece.byteLength, HEAD_BYTES - kept.byteLength));
    kept.push(piece.subarray(0, inHead));
    // Before anything behind the head goes by.
    if (kept.byteLength === HEAD_BYTES && inHead < piece.byteLength) kept.announce(await announcedPlaces(kept.device(), options));
    kept.push(piece.subarray(inHead));
    if (policy.maxLength !== null && kept.byteLength > policy.maxLength) break;
  }
  const judgement = await judgeKept(kept.device(), options);
  const isCut = policy.maxLength !== null && kept.byteLength > policy.maxLength;
  // Of a stream that was cut off the tables are incomplete: its length alone refuses it, by the policy.
  const reasons = isCut ? [] : judgement.reasons;
  const sha256 = isCut ? null : hash.digest('hex');
  const identity = { device: null, inode: null, size: kept.byteLength, mtimeNs: null, sha256, method: 'stream' } as const;
  return conclude({ ...judgement, reasons }, { path: null, identity, policy });
}

async function judgeKept(device: ReadableDevice, options: StreamOptions): Promise<Judgement> {
  const { declared, policy = DEFAULT_POLICY, signal } = options;
  if (options.unconfined === true) return judge(withReadBudget(device, READ_BUDGET), { declared, policy, signal });
  const params = { declared, policy, name: undefined, readBudget: READ_BUDGET };
  const answer = await runConfined({ name: 'vet', params }, { signal, onFileRequest: handing(device) });
  return checkedJudgement(answer, { declared, byteLength: device.byteLength });
}

/** Where the tables lie that are still to come, as the head announces them: untrusted, so it is read in the sandbox. */
async function announcedPlaces(head: ReadableDevice, { signal, unconfined }: StreamOptions): Promise<Range[]> {
  if (unconfined === true) return placesIn(head);
  return checkedPlaces(await runConfined({ name: 'vet-places', params: {} }, { signal, onFileRequest: handing(head) }));
}
