/**
 * Examines images in confined workers. The files are opened here, and their facts are stated here; a worker gets the open files
 * and returns figures. An image that ends its worker loses its own figures only.
 *
 * The answer is checked: its shape, and that it speaks of no other file than those that were opened for it.
 */
import { availableParallelism } from 'node:os';
import { GiB, MiB } from '#base';
import { ConfinedWorkers, type GrantedFile, type Limits, protocolError } from '#confined';
import type { OpenFile } from '#host';
import type { ExaminedContent } from './examine-content.ts';
import { type ExamineParams, REFERENCE, type ReferenceInfo } from './examine-handler.ts';
import { checkedContent } from './examined-shape.ts';
import type { Examiner, OpenedImage } from './examiner.ts';
import { packFacts } from './facts-frame.ts';

/**
 * As much as an examination in this process may take: tables of a file of 16 TiB take minutes on a slow disk. A worker is replaced
 * long before its processor time is used up.
 */
const LIMITS: Limits = { wallMs: 600_000, outputBytes: 16 * MiB, cpuSeconds: 3600, memoryBytes: 2 * GiB };
const MAX_WORKERS = 2;
/** Requests that a worker has ahead of its answers: so many that it need not wait for the next one. */
const REQUESTS_AHEAD = 4;
const REQUESTS_PER_WORKER = 20_000;

export interface ConfinedExaminerOptions {
  /** For tests: the worker's bundle. */
  readonly worker?: string | undefined;
}

export class ConfinedExaminer implements Examiner, AsyncDisposable {
  readonly #workers: ConfinedWorkers;
  #pass = 0;

  private constructor({ worker }: ConfinedExaminerOptions) {
    const count = Math.min(MAX_WORKERS, availableParallelism());
    this.#workers = new ConfinedWorkers({ count, ahead: REQUESTS_AHEAD, requestsPerWorker: REQUESTS_PER_WORKER, limits: LIMITS, worker });
  }

  /** Throws: unsupported, SANDBOX_UNAVAILABLE, SANDBOX_INCOMPLETE, where no worker can be started here. */
  static async start(options: ConfinedExaminerOptions = {}): Promise<ConfinedExaminer> {
    const examiner = new ConfinedExaminer(options);
    try {
      await examiner.#workers.run({ name: 'probe-hash', params: null });
      return examiner;
    } catch (error) {
      await examiner.close();
      throw error;
    }
  }

  /** Call it before each scan pass: tables of backing files that were read in an earlier one are read again. */
  beginPass(): void {
    this.#pass += 1;
  }

  async examine({ image, file, openReference, tables, signal }: OpenedImage): Promise<ExaminedContent> {
    const { frame, data } = packFacts(image.facts);
    const params: ExamineParams = {
      image: { ...image, path: image.path.toString('latin1'), facts: frame },
      tableBytes: tables.limit,
      pass: this.#pass,
    };
    const opened = new Map<string, string>([[image.facts.identity, file.realPath]]);
    const onFileRequest = async ({ name, role }: { readonly name: Uint8Array; readonly role: string }): Promise<GrantedFile> => {
      if (role !== REFERENCE) throw protocolError('a file request of an unknown role');
      const reference = await openReference(Buffer.from(name));
      opened.set(reference.identity, reference.realPath);
      return grantReference(reference);
    };
    const files = [{ fd: file.fd, byteLength: image.facts.length }];
    const answer = await this.#workers.run({ name: 'examine', params, data }, { files, signal, onFileRequest, image: image.shownPath });
    return checkedContent(answer, image, opened);
  }

  close(): Promise<void> {
    return this.#workers.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** An opened reference as a worker gets it: with its facts. */
export async function grantReference(reference: OpenFile): Promise<GrantedFile> {
  try {
    const facts = await reference.facts();
    const { frame, data } = packFacts(facts);
    const info: ReferenceInfo = { realPath: reference.realPath, facts: frame };
    return { file: { fd: reference.fd, byteLength: facts.length }, info, data, close: () => reference.close() };
  } catch (error) {
    await reference.close();
    throw error;
  }
}
