/**
 * Files that share a confined worker. They are opened here, by the hundred, and handed to it open. While one worker reads,
 * the files of the next are opened and it starts.
 */
import { asPlimsollError, type PlimsollError } from '#base';
import { descriptorsLeft, newHostCache } from '#host';
import { inLists, inOrder } from './in-order.ts';
import type { Judgement } from './judge.ts';
import { DEFAULT_POLICY } from './policy.ts';
import { type Judged, judgeInSharedWorkers } from './shared-worker.ts';
import { descriptorOf, type OpenedForVerdict, openForVerdict, reportOn, requestOn, type VetOptions } from './vet-file.ts';
import { outcomeOf, type VetOutcome } from './vet-outcome.ts';

/** Most files of one worker: more would keep the first verdict waiting. */
const MOST_FILES = 512;
/** Two lots of files are open at a time; while a worker starts, its files are open once more, and once more in its process. */
const DESCRIPTORS_PER_FILE = 4;
/** For the channels of the workers, and whatever else is opened meanwhile. */
const SPARE_DESCRIPTORS = 64;
/** Looking up a name waits for its filesystem. */
const OPENED_AT_ONCE = 8;

export interface SharingOptions extends VetOptions {
  /** For tests: how many files a worker gets at most. */
  readonly filesPerWorker?: number | undefined;
  /** For tests: the worker's bundle. */
  readonly worker?: string | undefined;
}

/** As vetMany, with a worker for as many files as this process may hold open. */
export async function* vetSharing(paths: AsyncIterable<string | Buffer>, options: SharingOptions): AsyncGenerator<VetOutcome, void> {
  const lots = new Set<Lot>();
  const opener = new Opener();
  let opening: Promise<unknown> = Promise.resolve();
  const task = async (names: readonly (string | Buffer)[], signal: AbortSignal): Promise<Lot> => {
    // One lot after the other: together the first would wait for the second.
    const opened = opening.then(() => opener.openAll(names, signal));
    opening = opened;
    const lot = new Lot(await opened, { ...options, signal });
    lots.add(lot);
    return lot;
  };
  try {
    for await (const lot of inOrder(inLists(paths, filesPerWorker(options)), { atOnce: 2, signal: options.signal, task })) {
      yield* lot.outcomes();
      lots.delete(lot);
    }
  } finally {
    for (const lot of lots) await lot.close();
  }
}

function filesPerWorker({ filesPerWorker: wanted = MOST_FILES }: SharingOptions): number {
  return Math.max(1, Math.min(wanted, Math.floor((descriptorsLeft() - SPARE_DESCRIPTORS) / DESCRIPTORS_PER_FILE)));
}

/** A name, and the file that it led to, or why it led to none. */
interface Candidate {
  readonly path: string | Buffer;
  readonly opened: OpenedForVerdict | PlimsollError;
}

class Opener {
  readonly #cache = newHostCache();
  /** Directories in which a file was found on a local filesystem. */
  readonly #local = new Set<string>();

  /** Does not throw: once the signal is aborted, what is left is not opened. */
  async openAll(names: readonly (string | Buffer)[], signal: AbortSignal): Promise<Candidate[]> {
    const candidates: Candidate[] = [];
    const task = (path: string | Buffer): Promise<Candidate> => this.#open(path, signal);
    for await (const candidate of inOrder(names, { atOnce: OPENED_AT_ONCE, signal: undefined, task })) candidates.push(candidate);
    return candidates;
  }

  async #open(path: string | Buffer, signal: AbortSignal): Promise<Candidate> {
    try {
      signal.throwIfAborted();
      const directory = directoryOf(path);
      const opened = await openForVerdict(path, this.#cache, directory !== undefined && this.#local.has(directory));
      if (directory !== undefined && opened.basics.filesystem !== 'other') this.#local.add(directory);
      return { path, opened };
    } catch (error) {
      return { path, opened: asPlimsollError(error, 'vet image', path.toString()) };
    }
  }
}

/** Of a name that is text. */
function directoryOf(path: string | Buffer): string | undefined {
  return typeof path === 'string' ? path.slice(0, path.lastIndexOf('/') + 1) : undefined;
}

/** The files of one worker, which begins at once. */
class Lot {
  readonly #candidates: readonly Candidate[];
  readonly #options: VetOptions & { readonly signal: AbortSignal };
  readonly #judged: Judged[] = [];
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;
  #wake = (): void => {};

  constructor(candidates: readonly Candidate[], options: SharingOptions & { readonly signal: AbortSignal }) {
    this.#candidates = candidates;
    this.#options = options;
    const images = candidates.flatMap(({ opened }) =>
      opened instanceof Error ? [] : [{ path: opened.file.path, descriptor: descriptorOf(opened), request: requestOn(opened) }],
    );
    const { declared, policy = DEFAULT_POLICY, worker } = options;
    const signal = AbortSignal.any([options.signal, this.#ending.signal]);
    this.#running = judgeInSharedWorkers(images, { declared, policy, signal, worker }, (judged) => {
      this.#judged.push(judged);
      this.#wake();
    });
    // Told to whoever waits for a verdict; nobody may.
    this.#running.catch(() => {});
  }

  /** Throws: the signal's reason. To be called once; then nothing is left open. */
  async *outcomes(): AsyncGenerator<VetOutcome, void> {
    let judgedCount = 0;
    try {
      for (const { path, opened } of this.#candidates) {
        const outcome = await outcomeOf(path, async () => {
          if (opened instanceof Error) throw opened;
          await using closing = opened;
          const judgement = await this.#judgement(judgedCount++);
          // Awaited: the file is closed on leaving.
          return await reportOn(closing, judgement, this.#options);
        });
        this.#options.signal.throwIfAborted();
        yield outcome;
      }
    } finally {
      await this.close();
    }
  }

  async #judgement(index: number): Promise<Judgement> {
    while (this.#judged.length <= index) {
      const more = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await Promise.race([more, this.#running]);
    }
    const judged = this.#judged[index] as Judged;
    if ('error' in judged) throw judged.error;
    return judged.judgement;
  }

  /** May be called twice. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.#running.catch(() => {});
    for (const { opened } of this.#candidates) if (!(opened instanceof Error)) await opened[Symbol.asyncDispose]();
  }
}
