/**
 * Opens the files that images refer to, along one chain. The policy for names, the depth of chains and loops are decided here, for
 * figures, guest data and new overlays alike.
 */
import { asPlimsollError, PlimsollError } from '#base';
import type { BackingReference } from './file-references.ts';
import { MAX_CHAIN_DEPTH, referencedPath, refusedName } from './policy.ts';
import type { OpenReference, ReferencedFile } from './referenced-file.ts';

/** A name in the header of an image. `depth`: 1 for the names in the image itself, 2 for those in its backing file, and so on. */
export interface Reference extends BackingReference {
  readonly role: 'backing' | 'data';
  readonly depth: number;
}

/** Why a reference was not opened or could not be read. */
export interface ReferenceFailure {
  readonly status: 'refused' | 'missing' | 'error';
  /** A part of a sentence. */
  readonly reason: string;
  readonly error: PlimsollError;
}

/** A file that was opened. The caller closes it. */
export interface ResolvedFile {
  /** The name that it was opened by: its own references are relative to it. */
  readonly path: Buffer;
  readonly file: ReferencedFile;
  /** The chain contains it already. */
  readonly isLoop: boolean;
}

export type Resolution = ResolvedFile | { readonly failure: ReferenceFailure };

/** The image at the top of the chain. */
export interface ChainTop {
  readonly identity: string;
  /** For people. */
  readonly shownPath: string;
}

export class ReferenceResolver {
  readonly #top: ChainTop;
  readonly #open: OpenReference;
  /** The image and its backing files. */
  readonly #chain: Set<string>;
  /** By their bytes as latin1. */
  readonly #lookedUp = new Map<string, Buffer>();
  readonly #signal: AbortSignal | undefined;

  constructor(top: ChainTop, open: OpenReference, signal?: AbortSignal) {
    this.#top = top;
    this.#open = open;
    this.#signal = signal;
    this.#chain = new Set([top.identity]);
  }

  /** The paths that were looked up, as the kernel got them. */
  get lookedUp(): readonly Buffer[] {
    return [...this.#lookedUp.values()];
  }

  /** Opens what `reference` names in the image that was opened as `from`. Throws: bug; the signal's reason. */
  async resolve(from: Buffer, reference: Reference): Promise<Resolution> {
    const refused = refusedName(reference.name);
    if (refused !== undefined) return { failure: { status: 'refused', reason: refused, error: nameRefused(reference, refused) } };
    const path = referencedPath(from, reference.nameBytes);
    this.#note(path);
    this.#signal?.throwIfAborted();
    try {
      const file = await this.#open(path);
      return { path, file, isLoop: this.#isLoop(file.identity, reference.role) };
    } catch (thrown) {
      this.#signal?.throwIfAborted();
      return { failure: failureOf(thrown) };
    }
  }

  /** As `resolve`. Throws: the reason why the file was not opened; refused, CHAIN_LOOP, CHAIN_TOO_DEEP. */
  async openFile(from: Buffer, reference: Reference): Promise<ResolvedFile> {
    if (isTooDeep(reference)) throw this.tooDeep();
    const resolution = await this.resolve(from, reference);
    if ('failure' in resolution) throw resolution.failure.error;
    if (!resolution.isLoop) return resolution;
    await resolution.file.close();
    throw this.loop(reference);
  }

  /** A path that would be looked up, if what is known already did not make that unnecessary. */
  noteLookup(from: Buffer, name: Uint8Array): void {
    this.#note(referencedPath(from, name));
  }

  tooDeep(): PlimsollError {
    return new PlimsollError('refused', 'CHAIN_TOO_DEEP', {
      doing: 'follow the backing chain',
      image: this.#top.shownPath,
      found: `more than ${MAX_CHAIN_DEPTH} files`,
      expected: `at most ${MAX_CHAIN_DEPTH}`,
    });
  }

  loop(reference: Reference): PlimsollError {
    return new PlimsollError('refused', 'CHAIN_LOOP', {
      doing: 'follow the backing chain',
      image: this.#top.shownPath,
      field: `${reference.role} file at depth ${reference.depth}`,
      found: reference.name,
      expected: 'a file that the chain does not contain yet',
    });
  }

  #note(path: Buffer): void {
    this.#lookedUp.set(path.toString('latin1'), path);
  }

  #isLoop(identity: string, role: Reference['role']): boolean {
    if (role === 'data') return identity === this.#top.identity;
    if (this.#chain.has(identity)) return true;
    this.#chain.add(identity);
    return false;
  }
}

export function isTooDeep({ depth }: Reference): boolean {
  return depth > MAX_CHAIN_DEPTH;
}

/** What an error in opening or reading a referenced file means for the image. Throws: bug. */
export function failureOf(thrown: unknown): ReferenceFailure {
  const error = asPlimsollError(thrown, 'follow a reference of the image');
  if (error.kind === 'bug') throw error;
  const status = error.kind === 'not-found' ? 'missing' : error.kind === 'refused' ? 'refused' : 'error';
  return { status, reason: error.message, error };
}

function nameRefused({ role, name }: Reference, reason: string): PlimsollError {
  return new PlimsollError('refused', 'REFERENCE_REFUSED', {
    doing: 'follow a reference of the image',
    field: role === 'data' ? 'data file' : 'backing file',
    found: name,
    expected: `a plain file name: ${reason}`,
  });
}
