/**
 * Components of sums: what a commitment or the sum that decides an admission consists of. The codes are a closed set, listed in
 * docs/json.md; they never change their meaning, while the names are for people.
 */
import type { ComponentSchema } from './schemas/common.ts';
import type { Shape } from './shape.ts';

/** The name of each component, by its code. */
export const COMPONENT_NAMES = {
  // A file as it is.
  allocated: 'allocated now',
  'known-allocated': 'known to be allocated',
  'known-or-in-place': 'known to be allocated, or written in place',
  'allocated-at-creation': 'allocated at creation',
  'unknown-offsets': 'allocated at unknown offsets',
  // Allocated by guest writes.
  'in-place': 'written in place, not allocated yet',
  'guest-data': 'unallocated guest data',
  'mapped-guest-data': 'guest data in mapped blocks, not allocated yet',
  blocks: 'blocks to allocate',
  'l2-tables': 'L2 tables to allocate',
  refcounts: 'refcount blocks and table to allocate',
  'grain-tables': 'grain tables to allocate',
  'sector-bitmaps': 'sector bitmaps to allocate',
  'headers-and-bat': 'headers and block allocation table, not allocated yet',
  log: 'log, not allocated yet',
  'metadata-and-mapped-data': 'headers, tables, log and mapped guest data, not allocated yet',
  footer: 'trailing footer',
  bitmaps: 'bitmaps rewritten on close',
  'tables-before-writes': 'tables created before the guest writes',
  // Corrections.
  'already-allocated': 'already allocated in place',
  'beyond-capacity': 'end of the last block, beyond the capacity',
  'reused-clusters': 'allocated free clusters that are reused',
  'small-clusters': 'clusters smaller than a host block',
  'host-block-rounding': 'rounding to host blocks',
  'length-limit': 'limited by the maximum length of the file',
  'allocated-or-expected': 'at least what is allocated and expected',
  'allocated-by-copy': 'of that, allocated by the copy',
  'raw-reading': 'if this is a raw disk whose guest wrote the header',
  'unflushed-tables': 'already allocated, in tables that the writer has not flushed',
  // The filesystem's own overhead.
  'host-map': "host: the filesystem's extent map now",
  'host-map-growth': 'host: extent map growth',
  'host-size-hint': 'host: extent size hint',
  'host-cow-preallocation': 'host: XFS CoW preallocation (reclaimable)',
  'host-speculative-preallocation': 'host: XFS speculative preallocation',
  // Sums of a store.
  available: 'available',
  floor: 'floor',
  reserved: 'reserved',
  request: 'request',
  residual: 'residual',
  'cow-reserve': 'copy-on-write reserve',
  'image-growth': 'growth of images',
  'other-growth': 'growth of other files',
} as const;

export type ComponentCode = keyof typeof COMPONENT_NAMES;
export const COMPONENT_CODES = Object.keys(COMPONENT_NAMES) as readonly ComponentCode[];

/** One component of a sum. The components of an image sum exactly to its commitment, those of a store to what remains. */
export type Component = Shape<typeof ComponentSchema>;

/** The component `code`; `detail` is appended to its name in parentheses. */
export function component(code: ComponentCode, bytes: number, detail?: string): Component {
  const name = COMPONENT_NAMES[code];
  return { code, name: detail === undefined ? name : `${name} (${detail})`, bytes };
}

/** Bytes of the components with one of `codes`; of all of them without `codes`. */
export function sumOfComponents(components: readonly Component[], ...codes: readonly ComponentCode[]): number {
  return components.reduce((sum, { code, bytes }) => (codes.length === 0 || codes.includes(code) ? sum + bytes : sum), 0);
}
