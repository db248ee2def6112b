/** Gathering the reasons of a verdict. */
import { asPlimsollError, PlimsollError } from '#base';
import type { VetReason } from '#wire';
import { LEVELS } from './verdict.ts';

/** Of all levels together. */
export const MAX_REASONS = 1000;
export const MAX_MESSAGE_CHARACTERS = 4096;
/** A VMDK can name a thousand files; the first of them are enough to refuse it. */
const MAX_OF_A_LEVEL = 100;

export class Reasons {
  readonly #list: VetReason[] = [];

  refuse(code: string, message: string, at?: number): void {
    this.#add('refuse', code, message, at);
  }

  ambiguous(code: string, message: string, at?: number): void {
    this.#add('ambiguous', code, message, at);
  }

  /** Only the header was examined. */
  headerOnly(code: string, message: string, at?: number): void {
    this.#add('header-only', code, message, at);
  }

  /** Nothing shows that the file is a disk. */
  unrecognised(code: string, message: string, at?: number): void {
    this.#add('unrecognised', code, message, at);
  }

  /** The image is fit only for one confined read into a clean copy. */
  convert(code: string, message: string, at?: number): void {
    this.#add('convert', code, message, at);
  }

  note(code: string, message: string, at?: number): void {
    this.#add('note', code, message, at);
  }

  /** What a parser threw is a reason to refuse; whatever is no error of the image is thrown on. */
  error(thrown: unknown): void {
    const error = asPlimsollError(thrown, 'vet image');
    if (error.kind === 'io' || error.kind === 'bug' || error.kind === 'usage') throw error;
    this.#push({
      level: 'refuse',
      code: error.code,
      kind: error.kind,
      message: error.message,
      ...(placeOf(error) === undefined ? {} : { at: placeOf(error) as number }),
    });
  }

  has(code: string): boolean {
    return this.#list.some((reason) => reason.code === code);
  }

  /** The reasons, the gravest first; in each level as they were found. */
  list(): VetReason[] {
    return LEVELS.flatMap((level) => this.#list.filter((reason) => reason.level === level));
  }

  #add(level: VetReason['level'], code: string, message: string, at: number | undefined): void {
    this.#push({ level, code, message, ...(at === undefined ? {} : { at }) });
  }

  #push(reason: VetReason): void {
    if (this.#list.filter(({ level }) => level === reason.level).length >= MAX_OF_A_LEVEL) return;
    this.#list.push({ ...reason, message: reason.message.slice(0, MAX_MESSAGE_CHARACTERS) });
  }
}

/** Gives a header-only reason for tables in a part of a stream that was not kept; any other error is thrown on. */
export function headerOnlyUnlessKept(thrown: unknown, reasons: Reasons): void {
  if (!(thrown instanceof PlimsollError) || thrown.code !== 'STREAM_NOT_KEPT') throw thrown;
  reasons.headerOnly('TABLES_NOT_READ', 'Tables are in a part of the stream that was not retained: vet the stored file.', thrown.where.at);
}

function placeOf(error: PlimsollError): number | undefined {
  return error.where.at;
}
