/**
 * The shapes that leave plimsoll as JSON: `plimsoll.info/1`, `plimsoll.measure/1`, `plimsoll.scan/1`.
 * Bytes are numbers; a figure that is not known or has no bound is null, with the reason beside it.
 */
import type { Assumption, SerializedError } from '#base';
import type { Component } from './components.ts';

export type FindingLevel = 'info' | 'warning' | 'critical';

/** Something an administrator should know, in a sentence; `code` is listed in docs/findings.md. */
export interface Finding {
  readonly level: FindingLevel;
  readonly code: string;
  readonly message: string;
}

/** Why the future of an image has no bound beyond its commitment. */
export interface Unbounded {
  readonly reason: string;
  readonly detail: string;
}

/** The image formats that have figures: the one list that options and reports share. */
export const IMAGE_FORMATS = ['raw', 'qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi', 'qed', 'luks'] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

export type FormatSource = 'declared' | 'signature' | 'guess';

/** One file that an image refers to: its backing file, that one's backing file, an external data file, or an extent file. */
export interface ChainLink {
  readonly role: 'backing' | 'data';
  /** 1 for what the image itself names. */
  readonly depth: number;
  /** The name as the image records it. */
  readonly name: string;
  /** The file it led to, null when it was not opened. */
  readonly path: string | null;
  /** The format the image declares for it, null when it declares none. */
  readonly declaredFormat: string | null;
  readonly format: string | null;
  readonly status: 'opened' | 'refused' | 'missing' | 'error';
  /** Why it was not opened. */
  readonly reason?: string;
  readonly capacity: number | null;
  readonly length: number | null;
  readonly allocation: number | null;
  /** Device and inode numbers, so that one file under two names is known. */
  readonly file?: string;
  /**
   * Backing files that were opened: bytes that a commit into the file, of any image above it in this chain, can add to its own
   * commitment, since QEMU first extends it to the capacity of that image. null: not known, for the reason in `commitUnknown`.
   */
  readonly commitGrowth?: number | null;
  readonly commitUnknown?: string;
  /** External data and extent files: bytes that guest writes can reach, and the most storage it can come to consume. */
  readonly reach?: number;
  readonly commitment?: number;
}

/** The four figures of one image and what they are made of. */
export interface ImageReport {
  readonly path: string;
  readonly format: string | null;
  readonly formatSource: FormatSource | null;
  /** Bytes the guest sees. */
  readonly capacity: number | null;
  /** st_size: the highest byte offset of the file. */
  readonly length: number | null;
  /** st_blocks × 512: storage consumed now. */
  readonly allocation: number | null;
  /** The most storage the file can come to consume without a new internal snapshot, bitmap or resize. */
  readonly commitment: number | null;
  /** What QEMU's allocator reaches when the guest writes every byte once. */
  readonly expected: number | null;
  /** commitment − allocation. */
  readonly residual: number | null;
  /** Bytes of the commitment that the filesystem gives back before it lets a write fail; a store's sums leave them out. */
  readonly reclaimable: number;
  /**
   * What the filesystem's own map of the file can take beyond the commitment, when the guest writes, zeroes and discards single
   * blocks in an order made for it. null: not known.
   */
  readonly mapExcess: number | null;
  /** Bound on the length. */
  readonly maxLength: number | null;
  /** map: from the filesystem's map of the file; stat: from st_blocks alone. */
  readonly method: 'map' | 'stat' | null;
  readonly unbounded: readonly Unbounded[];
  /** What one more internal snapshot would add; null when the image cannot take one. */
  readonly nextSnapshot: { readonly bytes: number } | null;
  readonly components: readonly Component[];
  readonly findings: readonly Finding[];
  readonly chain: readonly ChainLink[];
  /** Somebody has the image open for writing: the figures lag behind until the writer flushes. null: not known. */
  readonly openForWriting: boolean | null;
  /** Format-specific facts (cluster size, version, ...), for display. */
  readonly details: Readonly<Record<string, string | number | boolean>>;
  readonly error?: SerializedError;
}

export interface InfoReport {
  readonly schema: 'plimsoll.info/1';
  readonly definitions: Readonly<Record<string, string>>;
  readonly images: readonly ImageReport[];
}

export interface MeasureReport {
  readonly schema: 'plimsoll.measure/1';
  readonly definitions: Readonly<Record<string, string>>;
  readonly format: string;
  readonly capacity: number;
  readonly length: number;
  readonly allocation: number;
  readonly commitment: number;
  readonly expected: number;
  readonly maxLength: number;
  readonly components: readonly Component[];
  /** Of a copy: what it leaves out of its source, and what is doubtful about that. */
  readonly findings: readonly Finding[];
}

/**
 * Why nobody writes a file any more: the administrator declares it, it is a backing file that nobody may write and the
 * administrator declares those, or it is of a kind that no guest writes.
 */
export type NeverWritten = 'administrator' | 'backing' | 'content';

export interface ScannedImage extends ImageReport {
  /** Bytes freed if this image were deleted: shared with no other file. */
  readonly exclusive: number | null;
  /** Bytes of its allocation that another file shares. */
  readonly shared: number | null;
  /** Other names (hard links) of the same file found by the scan. */
  readonly aliases: readonly string[];
  /** Scanned images that use this one as their backing file. */
  readonly backingOf: readonly string[];
  /** The store's sums count the image with what it holds now, for this reason; null: with its commitment. */
  readonly neverWritten: NeverWritten | null;
}

export interface StoreReport {
  /** Filesystem identity: `uuid:…` where the filesystem has one, else `dev:MAJOR:MINOR`. */
  readonly id: string;
  readonly mount: string;
  readonly type: string;
  readonly size: number;
  readonly used: number;
  readonly available: number;
  /** Storage of all images found, blocks shared between files counted once. */
  readonly allocation: number;
  /** The most storage the images can come to consume together, each file counted once. */
  readonly commitment: number | null;
  /** commitment − allocation: what may still be written, un-sharing and the holes of other files included. */
  readonly residual: number | null;
  /** Of the residual: what the holes of files that are no disk images can come to take. */
  readonly otherHoles: number;
  /** The sum of the images' mapExcess and that of other files with holes: part of neither commitment nor residual. */
  readonly mapExcess: number;
  /** Bytes that more than one file uses, counted once. */
  readonly shared: number;
  /** Free bytes that must remain. */
  readonly floor: number;
  /** available − residual − floor. */
  readonly headroom: number | null;
  /** Every future guest write fits: yes, no, or null when it could not be told. */
  readonly fits: boolean | null;
  /** The administrator's declarations that the answer rests on. */
  readonly assumed: readonly Assumption[];
  readonly images: readonly ScannedImage[];
  readonly findings: readonly Finding[];
}

export interface ScanReport {
  readonly schema: 'plimsoll.scan/1';
  readonly definitions: Readonly<Record<string, string>>;
  readonly stores: readonly StoreReport[];
  /** What could not be read and belongs to no store: a directory that is missing, for example. */
  readonly errors: readonly (SerializedError & { readonly path: string })[];
}

/** The definition printed with each figure, in --help, JSON and metrics. */
export const DEFINITIONS = {
  capacity: 'bytes the guest sees',
  length: 'highest byte offset of the file (st_size)',
  allocation: 'storage consumed now (st_blocks x 512)',
  commitment: 'the most storage the image can come to consume, without a new internal snapshot, bitmap or resize',
  expected: 'storage after the guest has written every byte once',
  residual: 'commitment - allocation: what may still be written',
  exclusive: 'bytes freed if this image were deleted',
  shared: 'bytes that another file shares',
  headroom: 'available - residual - reserved - floor; negative means overcommitted',
} as const;
