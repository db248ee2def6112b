/** The verdict on a stranger's image: `plimsoll.vet/1`. */
import type { ErrorKind } from '#base';

/**
 * refused: something in it is dangerous or forbidden. ambiguous: two readers could take it for two things.
 * header-only: the tables were not examined. unrecognised: raw bytes without any sign of a disk. convert: fit for one confined
 * read into a clean copy. safe: fit to be attached to a guest.
 */
export type Verdict = 'safe' | 'convert' | 'header-only' | 'unrecognised' | 'ambiguous' | 'refused';

/** The permitted use of the image: attached to a guest, read once by a confined reader into a clean copy, or nothing. */
export type VetUse = 'attach' | 'convert' | 'refuse';

export interface VetReason {
  /** The gravest level of all reasons decides the verdict; a note does not count. */
  readonly level: 'refuse' | 'ambiguous' | 'header-only' | 'unrecognised' | 'convert' | 'note';
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
  /**
   * What ties the verdict to the bytes. content: every byte that was judged was compared with what was hashed. stream: judged
   * and hashed as it arrived. stamp: size and times, and no process had the file open for writing at the start. stamp-only: the
   * same, but whether a process can write could not be found out.
   */
  readonly method: 'content' | 'stream' | 'stamp' | 'stamp-only';
}

/** Commands that copy an image, read by a confined process under limits, into a new qcow2. */
export interface VetConversion {
  /** Each command as its words; the second runs only if the first succeeds. */
  readonly commands: readonly (readonly string[])[];
  /** The commands as one line for a POSIX shell. */
  readonly shell: string;
  /** The file that is created. The commands fail if it exists. */
  readonly target: string;
}

/** How to use the image, without a format that a tool would have to guess. */
export interface VetNext {
  /** The words that declare the format to qemu-img and qemu-io. */
  readonly qemuImg: readonly string[];
  /** The name of the file as an argument that no tool takes for an option or a protocol; FILE for a stream. */
  readonly file: string;
  /** The driver element of libvirt's disk. null unless the use is attach. */
  readonly libvirt: string | null;
  /**
   * The options of a QEMU -blockdev, as JSON takes them: no comma or colon in a name has a meaning there. Without the node of
   * the file for a stream, and for a name that is not UTF-8. null unless the use is attach.
   */
  readonly blockdev: Readonly<Record<string, string | null | { readonly driver: 'file'; readonly filename: string }>> | null;
  /** null unless the use is convert. */
  readonly convert: VetConversion | null;
}

/** One image's verdict; the document is `{schema: 'plimsoll.vet/1', images: VetReport[]}`. */
export interface VetReport {
  /** The name it was given by; null for a stream. */
  readonly path: string | null;
  readonly verdict: Verdict;
  /** null where the verdict is ambiguous or header-only: no use can be recommended. */
  readonly use: VetUse | null;
  /** The format of the image; null when unknown. */
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
  /** null unless the use is attach or convert. */
  readonly next: VetNext | null;
}
