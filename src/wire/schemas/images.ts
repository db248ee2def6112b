/** Images: their figures, as a scan found them, and as a daemon shows them. */
import { Type } from 'typebox';
import { IMAGE_FORMATS } from '../reports.ts';
import { shape, nullable, Bytes, SignedBytes, Seconds, Count, Time, ErrorSchema, FindingSchema, ComponentSchema } from './common.ts';

export const ChainLinkSchema = shape('ChainLink', {
  role: Type.Enum(['backing', 'data']),
  /** 1 for what the image itself names. */
  depth: Count,
  /** The name as the image records it. */
  name: Type.String(),
  /** The file it led to, null when it was not opened. */
  path: nullable(Type.String()),
  /** The format the image declares for it, null when it declares none. */
  declaredFormat: nullable(Type.String()),
  format: nullable(Type.String()),
  status: Type.Enum(['opened', 'refused', 'missing', 'error']),
  /** Why it was not opened. */
  reason: Type.Optional(Type.String()),
  capacity: nullable(Bytes),
  length: nullable(Bytes),
  allocation: nullable(Bytes),
  /** Device and inode numbers, so that one file under two names is known. */
  file: Type.Optional(Type.String()),
  /**
   * Backing files that were opened: bytes that a commit into the file, of any image above it in this chain, can add to its own
   * commitment, since QEMU first extends it to the capacity of that image. null: not known, for the reason in `commitUnknown`.
   */
  commitGrowth: Type.Optional(nullable(Bytes)),
  commitUnknown: Type.Optional(Type.String()),
  /** External data and extent files: bytes that guest writes can reach, and the maximum storage it can ever use. */
  reach: Type.Optional(Bytes),
  commitment: Type.Optional(Bytes),
});

export const GrowthSchema = shape('Growth', {
  low: nullable(Type.Number({ description: 'bytes per second' })),
  high: nullable(Type.Number({ description: 'bytes per second' })),
  /** Samples that the answer rests on, and the time they span. */
  samples: Count,
  spanSeconds: Seconds,
  unknown: nullable(Type.String({ description: 'why low and high are null' })),
});

export const OutlookSchema = shape('Outlook', {
  /** reached: it is so now. expected: between earliest and latest. never: not even if all is written. unknown: see the reason. */
  outcome: Type.Enum(['reached', 'expected', 'never', 'unknown']),
  /** Seconds from now at the high growth, null when not even that leads there. */
  earliest: nullable(Seconds),
  /** Seconds from now at the low growth, null when that does not lead there. */
  latest: nullable(Seconds),
  reason: nullable(Type.String()),
});

export const ImageReportSchema = shape('ImageReport', {
  path: Type.String(),
  format: nullable(Type.String({ description: `${IMAGE_FORMATS.join(', ')}, or another that was recognised` })),
  formatSource: nullable(Type.Enum(['declared', 'signature', 'guess'])),
  /** Bytes the guest sees. */
  capacity: nullable(Bytes),
  /** st_size: the highest byte offset of the file. */
  length: nullable(Bytes),
  /** st_blocks × 512: storage consumed now. */
  allocation: nullable(Bytes),
  /** Maximum storage the file can ever use, without a new internal snapshot, bitmap or resize. */
  commitment: nullable(Bytes),
  /** Storage that QEMU's allocator reaches when the guest writes every byte once. */
  expected: nullable(Bytes),
  /** commitment − allocation. */
  residual: nullable(SignedBytes),
  /** Bytes of the commitment that the filesystem reclaims before a write fails; a store's sums exclude them. */
  reclaimable: Bytes,
  /**
   * Bytes by which the filesystem's own map of the file can exceed the commitment, when the guest writes, zeroes and discards
   * single blocks in an order chosen for it. null: unknown.
   */
  mapExcess: nullable(Bytes),
  /** Bound on the length. */
  maxLength: nullable(Bytes),
  /** map: from the filesystem's map of the file; stat: from st_blocks alone. */
  method: nullable(Type.Enum(['map', 'stat'])),
  unbounded: Type.Array(Type.Object({ reason: Type.String(), detail: Type.String() })),
  /** Growth of the commitment by one more internal snapshot; null where the image does not support one. */
  nextSnapshot: nullable(Type.Object({ bytes: Bytes })),
  components: Type.Array(ComponentSchema),
  findings: Type.Array(FindingSchema),
  chain: Type.Array(ChainLinkSchema),
  /** The image is open for writing: the figures lag behind until the writer flushes. null: unknown. */
  openForWriting: nullable(Type.Boolean()),
  /** Format-specific facts (cluster size, version, ...), for display. */
  details: Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()])),
  error: Type.Optional(ErrorSchema),
});

export const ScannedImageSchema = shape('ScannedImage', {
  ...ImageReportSchema.properties,
  /** Bytes freed if this image were deleted: shared with no other file. */
  exclusive: nullable(Bytes),
  /** Bytes of its allocation that another file shares. */
  shared: nullable(Bytes),
  /** Other names (hard links) of the same file found by the scan. */
  aliases: Type.Array(Type.String()),
  /** Scanned images that use this one as their backing file. */
  backingOf: Type.Array(Type.String()),
  /** The store's sums count the image with what it holds now, for this reason; null: with its commitment. */
  neverWritten: nullable(Type.Enum(['administrator', 'backing', 'content'])),
});

export const ImageViewSchema = shape('ImageView', {
  ...ScannedImageSchema.properties,
  /** Stable as long as the image keeps its name: what its page is called. */
  id: Type.String(),
  store: Type.String(),
  /** The virtual machine that has it open, by QEMU's own command line; null: none was seen. */
  machine: nullable(Type.String()),
  growth: GrowthSchema,
  /** Seconds until it has reached its commitment. */
  toCommitment: OutlookSchema,
});

export const ImagePageSchema = shape('ImagePage', { total: Count, offset: Count, images: Type.Array(ImageViewSchema) });

export const ImageSampleSchema = shape('ImageSample', {
  at: Time,
  length: nullable(Bytes),
  allocation: Bytes,
  commitment: nullable(Bytes),
});
