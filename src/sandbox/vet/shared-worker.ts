/**
 * Many images judged by one confined worker, and by the next where one ends.
 *
 * Each image gets the verdict that it would get alone. What it can only blame itself for (an error of its own file, a limit
 * by the clock) it is told at once. Anything else that ends a worker can be the work of those before it, whose memory and
 * processor time it shares: so the image in hand is judged again, as the first of a fresh worker. What it meets there is its own.
 */
import { asPlimsollError, PlimsollError } from '#base';
import { type ConfinedFile, protocolError, reviveError, runConfined } from '#confined';
import { checkedPart } from './answers.ts';
import type { VetManyParams, VetParams } from './handler.ts';
import type { Judgement } from './judge.ts';

/** An image for a worker. */
export interface ImageInLine {
  readonly path: string;
  readonly descriptor: ConfinedFile;
  readonly request: Pick<VetParams, 'name' | 'readBudget'>;
}

export interface SharedWorkerOptions extends Pick<VetParams, 'declared' | 'policy'> {
  readonly signal: AbortSignal;
  /** The worker's bundle; that of dist/ when left out. */
  readonly worker?: string | undefined;
}

/** What came of one image. */
export type Judged = { readonly judgement: Judgement } | { readonly error: PlimsollError };

/**
 * Judges `images`, and tells each outcome as soon as it is there, in their order.
 *
 * Throws: the signal's reason. Everything else is told as the outcome of an image.
 */
export async function judgeInSharedWorkers(
  images: readonly ImageInLine[],
  options: SharedWorkerOptions,
  tell: (outcome: Judged) => void,
): Promise<void> {
  for (let at = 0; at < images.length; ) {
    const { judgedCount, error } = await judgeInOneWorker(images.slice(at), options, tell);
    at += judgedCount;
    options.signal.throwIfAborted();
    if (error === undefined || at >= images.length) continue;
    if (judgedCount > 0 && !isItsOwn(error)) continue;
    tell({ error });
    at += 1;
  }
}

/** Whether no other image can have a part in it. */
function isItsOwn({ kind, code }: PlimsollError): boolean {
  return kind === 'io' || code === 'WORKER_TIME';
}

/** As far as one worker comes: how many images it has judged, and what stopped it at the next. */
async function judgeInOneWorker(
  images: readonly ImageInLine[],
  { declared, policy, signal, worker }: SharedWorkerOptions,
  tell: (outcome: Judged) => void,
): Promise<{ readonly judgedCount: number; readonly error: PlimsollError | undefined }> {
  const params: VetManyParams = { declared, policy, images: images.map(({ request }) => request) };
  const files = images.map(({ descriptor }) => descriptor);
  let judgedCount = 0;
  const onPart = (part: unknown): void => {
    const image = images[judgedCount];
    if (image === undefined) throw protocolError('more verdicts than images');
    const outcome = judgedOf(part, declared, image);
    // To be judged again by a worker that has seen no other.
    if ('error' in outcome && judgedCount > 0 && !isItsOwn(outcome.error)) throw outcome.error;
    judgedCount += 1;
    tell(outcome);
  };
  try {
    await runConfined({ name: 'vet-many', params }, { files, signal, onPart, ...(worker === undefined ? {} : { worker }) });
    return { judgedCount, error: judgedCount < images.length ? protocolError('fewer verdicts than images') : undefined };
  } catch (thrown) {
    return { judgedCount, error: named(asPlimsollError(thrown, 'vet image'), images[judgedCount]?.path) };
  }
}

/** The worker served several; the one in hand is meant. */
function named(error: PlimsollError, path: string | undefined): PlimsollError {
  return path === undefined ? error : PlimsollError.revive(error.toJSON(), path);
}

/** Throws: bug, WORKER_PROTOCOL. */
function judgedOf(part: unknown, declared: string | undefined, { path, descriptor }: ImageInLine): Judged {
  const checked = checkedPart(part, { declared, byteLength: descriptor.byteLength });
  return 'error' in checked ? { error: reviveError(checked.error, path) } : checked;
}
