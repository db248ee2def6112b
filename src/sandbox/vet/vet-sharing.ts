/**
 * Files whose verdicts come from one confined worker, one after the other: each is opened here and handed to it open. Each gets
 * the verdict that it would get from a worker of its own.
 */
import { ConfinedWorkers } from '#confined';
import { descriptorsLeft, type HostCache, newHostCache } from '#host';
import { checkedJudgement } from './answers.ts';
import type { VetParams } from './handler.ts';
import { inOrder } from './in-order.ts';
import { DEFAULT_POLICY } from './policy.ts';
import { descriptorOf, type OpenedForVerdict, openForVerdict, reportOn, requestOn, type VetOptions } from './vet-file.ts';
import { outcomeOf, type VetOutcome } from './vet-outcome.ts';

/** Files that one worker reads. */
const MAX_FILES_PER_WORKER = 512;
/** Files that are open at a time: the worker has its next requests while the outcome of an earlier one is waited for. */
const MAX_OPEN_FILES = 32;
/** The file itself, a duplicate for the worker, and the worker's own. */
const DESCRIPTORS_PER_FILE = 4;
/** For the channels of the worker, and whatever else is opened meanwhile. */
const SPARE_DESCRIPTORS = 64;
/** Requests that the worker has ahead of its answers. */
const REQUESTS_AHEAD = 6;

export interface SharingOptions extends VetOptions {
  /** For tests: files that one worker reads at most. */
  readonly filesPerWorker?: number | undefined;
  /** For tests: the worker's bundle. */
  readonly worker?: string | undefined;
}

/** As vetMany, by one worker after the other. */
export async function* vetSharing(paths: AsyncIterable<string | Buffer>, options: SharingOptions): AsyncGenerator<VetOutcome, void> {
  const requestsPerWorker = options.filesPerWorker ?? MAX_FILES_PER_WORKER;
  await using workers = new ConfinedWorkers({ count: 1, ahead: REQUESTS_AHEAD, requestsPerWorker, worker: options.worker });
  const opener = new Opener();
  const task = (path: string | Buffer, signal: AbortSignal): Promise<VetOutcome> =>
    outcomeOf(path, async () => {
      await using opened = await opener.open(path, signal);
      const judgement = await judgeBy(workers, opened, { ...options, signal });
      // Awaited: the file is closed on leaving.
      return await reportOn(opened, judgement, options);
    });
  yield* inOrder(paths, { atOnce: openFiles(requestsPerWorker), signal: options.signal, task });
}

function openFiles(requestsPerWorker: number): number {
  const affordable = Math.floor((descriptorsLeft() - SPARE_DESCRIPTORS) / DESCRIPTORS_PER_FILE);
  return Math.max(1, Math.min(MAX_OPEN_FILES, 2 * requestsPerWorker, affordable));
}

async function judgeBy(workers: ConfinedWorkers, opened: OpenedForVerdict, { declared, policy = DEFAULT_POLICY, signal }: VetOptions) {
  const params: VetParams = { declared, policy, ...requestOn(opened) };
  const file = descriptorOf(opened);
  const answer = await workers.run({ name: 'vet', params }, { files: [file], signal, image: opened.file.path });
  return checkedJudgement(answer, { declared, byteLength: file.byteLength });
}

class Opener {
  readonly #cache: HostCache = newHostCache();
  /** Directories in which a file was found on a local filesystem. */
  readonly #local = new Set<string>();

  async open(path: string | Buffer, signal: AbortSignal): Promise<OpenedForVerdict> {
    signal.throwIfAborted();
    const directory = directoryOf(path);
    const opened = await openForVerdict(path, this.#cache, directory !== undefined && this.#local.has(directory));
    if (directory !== undefined && opened.basics.filesystem !== 'other') this.#local.add(directory);
    return opened;
  }
}

/** Of a name that is text. */
function directoryOf(path: string | Buffer): string | undefined {
  return typeof path === 'string' ? path.slice(0, path.lastIndexOf('/') + 1) : undefined;
}
