/**
 * The verdict on an image that is still arriving: one pass, bounded memory. The beginning and the end are kept, which is
 * where headers, descriptors and footers lie, and the tables of all but large images.
 */
import { createHash } from 'node:crypto';
import { PlimsollError } from '#base';
import { type BlockDevice, withReadBudget } from '#block';
import type { VetReport } from '#wire';
import { type GrantedFile, runConfined } from '../worker/client.ts';
import { checkedJudgement } from './handler.ts';
import { type Judgement, judge, tooLong } from './judge.ts';
import { DEFAULT_POLICY } from './policy.ts';
import type { VetOptions } from './vet-file.ts';

/** Kept of the beginning: the header regions of every format, and the first tables. */
const HEAD_BYTES = 4 * 1024 * 1024;
/** Kept of the end: footers and backup tables. */
const TAIL_BYTES = 64 * 1024;
/** Metadata read from what is kept; tables may be read more than once, never without end. */
const READ_BUDGET = 256 * 1024 * 1024;

/**
 * Judges the bytes of `source`, which is read to its end, or to the policy's `maxLength`.
 *
 * Bounds: 4 MiB of the beginning and 64 KiB of the end are kept. Tables that lie elsewhere are not examined, and
 * `examined` says so.
 * Throws: whatever the source throws; usage; the signal's reason.
 */
export async function vetStream(source: AsyncIterable<Uint8Array>, options: Omit<VetOptions, 'sha256'> = {}): Promise<VetReport> {
  const { policy = DEFAULT_POLICY, signal } = options;
  const hash = createHash('sha256');
  const kept = new KeptEnds();
  for await (const piece of source) {
    signal?.throwIfAborted();
    hash.update(piece);
    kept.push(piece);
    if (policy.maxLength !== null && kept.byteLength > policy.maxLength) break;
  }
  const judgement = await judgeKept(kept.device(), options);
  const isCut = policy.maxLength !== null && kept.byteLength > policy.maxLength;
  // What was cut off says nothing about the tables; the length alone refuses it.
  const reasons = isCut ? [{ level: 'refuse' as const, code: 'TOO_LONG', message: tooLong(policy.maxLength) }] : judgement.reasons;
  return {
    ...judgement,
    reasons,
    path: null,
    identity: { device: null, inode: null, size: kept.byteLength, mtimeNs: null, sha256: isCut ? null : hash.digest('hex') },
  };
}

async function judgeKept(device: BlockDevice, options: Omit<VetOptions, 'sha256'>): Promise<Judgement> {
  const { declared, policy = DEFAULT_POLICY, signal } = options;
  if (options.unconfined === true) return judge(withReadBudget(device, READ_BUDGET), { declared, policy, signal });
  const params = { declared, policy, name: undefined, readBudget: READ_BUDGET };
  // Kept in memory, not in a file: the worker asks for it piece by piece.
  const onFileRequest = async (): Promise<GrantedFile> => ({ device, close: async () => {} });
  return checkedJudgement(await runConfined({ name: 'vet', params }, { signal, onFileRequest }));
}

/** The two ends of a stream. */
class KeptEnds {
  readonly #head = new Uint8Array(HEAD_BYTES);
  /** The last bytes stand before `#tailEnd`; when it is full, they move to the front. */
  readonly #tail = new Uint8Array(2 * TAIL_BYTES);
  #tailEnd = 0;
  byteLength = 0;

  push(piece: Uint8Array): void {
    if (this.byteLength < HEAD_BYTES) this.#head.set(piece.subarray(0, HEAD_BYTES - this.byteLength), this.byteLength);
    this.byteLength += piece.byteLength;
    this.#keepLast(piece.subarray(Math.max(0, piece.byteLength - TAIL_BYTES)));
  }

  #keepLast(piece: Uint8Array): void {
    if (this.#tailEnd + piece.byteLength > this.#tail.byteLength) {
      const kept = TAIL_BYTES - piece.byteLength;
      this.#tail.copyWithin(0, this.#tailEnd - kept, this.#tailEnd);
      this.#tailEnd = kept;
    }
    this.#tail.set(piece, this.#tailEnd);
    this.#tailEnd += piece.byteLength;
  }

  device(): BlockDevice {
    const { byteLength } = this;
    const headEnd = Math.min(byteLength, HEAD_BYTES);
    const tail = this.#tail.subarray(0, this.#tailEnd);
    const tailAt = byteLength - tail.byteLength;
    return {
      byteLength,
      read: async (offset, length) => {
        const end = Math.min(offset + length, byteLength);
        if (end <= offset) return new Uint8Array(0);
        if (end <= headEnd) return this.#head.slice(offset, end);
        if (offset >= tailAt) return tail.slice(offset - tailAt, end - tailAt);
        throw new PlimsollError('over-budget', 'STREAM_NOT_KEPT', {
          doing: 'read stream',
          at: offset,
          found: `${end - offset} bytes that went by`,
          expected: `the first ${HEAD_BYTES} bytes or the last ${TAIL_BYTES}`,
        });
      },
    };
  }
}
