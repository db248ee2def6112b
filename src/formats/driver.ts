/** The shape of a format's entry in the registry. */
import type { Range } from '#base';
import type { ReadableDevice } from '#block';

/** Bytes that identify a format. */
export interface Signature<Format extends string = string> {
  readonly format: Format;
  /** Byte offset from the start of the file. */
  readonly at: number;
  /** Latin-1, one character a byte. */
  readonly bytes: string;
}

/** A container that is recognised: enough to name it in errors. */
export interface ContainerFormatFacts {
  readonly name: string;
  /** At the start of the file; each is evidence by itself. */
  readonly signatures: readonly Omit<Signature, 'format'>[];
  /** How the names of its files end, in lower case. */
  readonly extensions: readonly string[];
}

/** The first bytes of a file. */
export interface Head {
  readonly view: DataView;
  readonly byteLength: number;
}

/** What a header tells of the disk and of the file below it. */
export interface LayerHeader extends BackingName {
  /** Bytes. */
  readonly capacity: number;
}

/** The backing file that a header names; undefined: the image has none, or does not record the format. */
export interface BackingName {
  readonly backingFile: string | undefined;
  /** The name as the kernel takes it. */
  readonly backingFileBytes: Uint8Array | undefined;
  readonly backingFormat?: string | undefined;
}

/** The guest's disk of an image, located by the format's own reader. */
export interface GuestImage {
  readonly device: ReadableDevice;
  /** All of the disk lies in the file, so that holes of the file are zeros of the disk: QEMU reads it so, too. */
  readonly isWholeInFile: boolean;
  /** Where the image names a backing file, what is unallocated is that file's. */
  readonly backing?: BackingName;
}

/** A format that is read. To add one: its folder, and a line in registry.ts. */
export interface FormatDriver extends ContainerFormatFacts {
  /** QEMU's name of the format. */
  readonly qemuDriver: string;
  /** QEMU's driver supports backing files, so their absence must be declared. */
  readonly hasQemuBacking: boolean;
  /**
   * Where the image's metadata lies, as far as its first bytes show: what a one-pass stream must retain. Nothing is validated.
   * Ranges are in no order, may overlap and may lie anywhere. Left out: the format has no tables outside of its header.
   */
  readonly metadataRanges?: (head: Head) => Iterable<Range>;
  /** All guest data is encrypted. Files with its name extension may have no signature (plain dm-crypt), and no image can lie over it. */
  readonly isEncrypted?: true;
  /**
   * Reads what a chain of backing files needs. Left out: the chain is not followed through a file of this format.
   *
   * Throws: corrupt, unsupported, over-budget, io.
   */
  readonly readLayerHeader?: (device: ReadableDevice) => Promise<LayerHeader>;
  /**
   * Opens the guest's disk of an image by its own file alone: bytes that only a backing file, parent or data file has are
   * refused where they are read, or at once.
   *
   * Throws: corrupt, unsupported, refused, over-budget, io.
   */
  readonly open: (device: ReadableDevice, signal?: AbortSignal) => Promise<GuestImage>;
}
