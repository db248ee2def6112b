/** Images: their figures, as a scan found them, and as a daemon shows them. */
import { Type } from 'typebox';
import { IMAGE_FORMATS } from '../reports.ts';
import {
  described,
  shape,
  nullable,
  Bytes,
  SignedBytes,
  Seconds,
  Count,
  Time,
  ErrorSchema,
  FindingSchema,
  ComponentSchema,
} from './common.ts';

export const ChainLinkSchema = shape('ChainLink', {
  role: Type.Enum(['backing', 'data']),
  depth: described('1 for what the image itself names.', Count),
  name: described('The name as the image records it.', Type.String()),
  path: described('The file it led to, null when it was not opened.', nullable(Type.String())),
  declaredFormat: described('The format the image declares for it, null when it declares none.', nullable(Type.String())),
  format: nullable(Type.String()),
  status: Type.Enum(['opened', 'refused', 'missing', 'error']),
  reason: described('Why it was not opened.', Type.Optional(Type.String())),
  capacity: nullable(Bytes),
  length: nullable(Bytes),
  allocation: nullable(Bytes),
  file: described('Device and inode numbers, so that one file under two names is known.', Type.Optional(Type.String())),
  commitGrowth: described(
    'Backing files that were opened: bytes that a commit into the file, of any image above it in this chain, can add to its own commitment, since QEMU first extends it to the capacity of that image. null: not known, for the reason in `commitUnknown`.',
    Type.Optional(nullable(Bytes)),
  ),
  commitUnknown: Type.Optional(Type.String()),
  reach: described(
    'External data and extent files: bytes that guest writes can reach, and the maximum storage it can ever use.',
    Type.Optional(Bytes),
  ),
  commitment: Type.Optional(Bytes),
});

export const GrowthSchema = shape('Growth', {
  low: nullable(Type.Number({ description: 'bytes per second' })),
  high: nullable(Type.Number({ description: 'bytes per second' })),
  samples: described('Samples that the answer rests on, and the time they span.', Count),
  spanSeconds: Seconds,
  unknown: nullable(Type.String({ description: 'why low and high are null' })),
});

export const OutlookSchema = shape('Outlook', {
  outcome: described(
    'reached: it is so now. expected: between earliest and latest. never: not even if all is written. unknown: see the reason.',
    Type.Enum(['reached', 'expected', 'never', 'unknown']),
  ),
  earliest: described('Seconds from now at the high growth, null when not even that leads there.', nullable(Seconds)),
  latest: described('Seconds from now at the low growth, null when that does not lead there.', nullable(Seconds)),
  reason: nullable(Type.String()),
});

export const ImageReportSchema = shape('ImageReport', {
  path: Type.String(),
  format: nullable(Type.String({ description: `${IMAGE_FORMATS.join(', ')}, or another that was recognised` })),
  formatSource: nullable(Type.Enum(['declared', 'signature', 'guess'])),
  capacity: described('Bytes the guest sees.', nullable(Bytes)),
  length: described('st_size: the highest byte offset of the file.', nullable(Bytes)),
  allocation: described('st_blocks × 512: storage consumed now.', nullable(Bytes)),
  commitment: described('Maximum storage the file can ever use, without a new internal snapshot, bitmap or resize.', nullable(Bytes)),
  expected: described("Storage that QEMU's allocator reaches when the guest writes every byte once.", nullable(Bytes)),
  residual: described('commitment − allocation.', nullable(SignedBytes)),
  reclaimable: described("Bytes of the commitment that the filesystem reclaims before a write fails; a store's sums exclude them.", Bytes),
  mapExcess: described(
    "Bytes by which the filesystem's own map of the file can exceed the commitment, when the guest writes, zeroes and discards single blocks in an order chosen for it. null: unknown.",
    nullable(Bytes),
  ),
  maxLength: described('Bound on the length.', nullable(Bytes)),
  method: described("map: from the filesystem's map of the file; stat: from st_blocks alone.", nullable(Type.Enum(['map', 'stat']))),
  unbounded: Type.Array(Type.Object({ reason: Type.String(), detail: Type.String() })),
  nextSnapshot: described(
    'Growth of the commitment by one more internal snapshot; null where the image does not support one.',
    nullable(Type.Object({ bytes: Bytes })),
  ),
  components: Type.Array(ComponentSchema),
  findings: Type.Array(FindingSchema),
  chain: Type.Array(ChainLinkSchema),
  openForWriting: described(
    'The image is open for writing: the figures lag behind until the writer flushes. null: unknown.',
    nullable(Type.Boolean()),
  ),
  details: described(
    'Format-specific facts (cluster size, version, ...), for display.',
    Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()])),
  ),
  error: Type.Optional(ErrorSchema),
});

export const ScannedImageSchema = shape('ScannedImage', {
  ...ImageReportSchema.properties,
  exclusive: described('Bytes freed if this image were deleted: shared with no other file.', nullable(Bytes)),
  shared: described('Bytes of its allocation that another file shares.', nullable(Bytes)),
  aliases: described('Other names (hard links) of the same file found by the scan.', Type.Array(Type.String())),
  backingOf: described('Scanned images that use this one as their backing file.', Type.Array(Type.String())),
  neverWritten: described(
    "The store's sums count the image with what it holds now, for this reason; null: with its commitment.",
    nullable(Type.Enum(['administrator', 'backing', 'content'])),
  ),
});

export const ImageViewSchema = shape('ImageView', {
  ...ScannedImageSchema.properties,
  id: described('Stable as long as the image keeps its name: what its page is called.', Type.String()),
  store: Type.String(),
  machine: described("The virtual machine that has it open, by QEMU's own command line; null: none was seen.", nullable(Type.String())),
  growth: GrowthSchema,
  toCommitment: described('Seconds until it has reached its commitment.', OutlookSchema),
});

export const ImagePageSchema = shape('ImagePage', { total: Count, offset: Count, images: Type.Array(ImageViewSchema) });

export const ImageSampleSchema = shape('ImageSample', {
  at: Time,
  length: nullable(Bytes),
  allocation: Bytes,
  commitment: nullable(Bytes),
});
