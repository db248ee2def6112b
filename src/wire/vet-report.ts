/** The verdict on a stranger's image: `plimsoll.vet/1`. */
import type { ErrorKind } from '#base';

/** refused: something in it is dangerous or forbidden. ambiguous: two readers could take it for two things. */
export type Verdict = 'safe' | 'refused' | 'ambiguous';

export interface VetReason {
  /** note: good to know, and no part of the verdict. */
  readonly level: 'refuse' | 'ambiguous' | 'note';
  /** Listed in docs/vet.md; or the code of an error, listed in docs/errors.md. */
  readonly code: string;
  readonly message: string;
  /** Byte offset in the file of what the reason speaks of. */
  readonly at?: number;
  /** For the code of an error: its kind. */
  readonly kind?: ErrorKind;
}

/** Which object was judged: compare it again before use, so that a swapped file is noticed. */
export interface VetIdentity {
  /** Device and inode numbers, as stat tells them; null for a stream. */
  readonly device: number | null;
  readonly inode: number | null;
  readonly size: number;
  /** Last change of the content in nanoseconds since 1970, as text: it does not fit a number. null for a stream. */
  readonly mtimeNs: string | null;
  /** Hexadecimal; null when it was not asked for. Of a stream it is always there. */
  readonly sha256: string | null;
}

/** What to do next with an image that is safe, to the letter. */
export interface VetNext {
  /** The words that declare the format to qemu-img and qemu-io. */
  readonly qemuImg: readonly string[];
  /** The driver element of libvirt's disk. */
  readonly libvirt: string;
  /** The options of a QEMU -blockdev, the file's own node beside it as `file`. */
  readonly blockdev: Readonly<Record<string, string | null>>;
}

/** One image's verdict; the document is `{schema: 'plimsoll.vet/1', images: VetReport[]}`. */
export interface VetReport {
  /** The name it was given by; null for a stream. */
  readonly path: string | null;
  readonly verdict: Verdict;
  /** What the image is; null when that cannot be said. */
  readonly format: string | null;
  readonly declared: string | null;
  /** tables: all that says where data lies was examined. header: only the header was. none: nothing could be. */
  readonly examined: 'tables' | 'header' | 'none';
  readonly capacity: number | null;
  readonly length: number;
  /** capacity / length: how often the image would fill its own length. */
  readonly ratio: number | null;
  readonly reasons: readonly VetReason[];
  /** Everything that the file's bytes could be taken for. */
  readonly signs: readonly { readonly name: string; readonly class: string; readonly at: number }[];
  readonly details: Readonly<Record<string, string | number | boolean>>;
  readonly identity: VetIdentity;
  /** null unless the verdict is safe. */
  readonly next: VetNext | null;
}
