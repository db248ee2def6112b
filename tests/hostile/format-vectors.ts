/** The hostile images of every format as verdicts are asked about them: what each is declared as, and what comes out. */
import type { Verdict } from '#wire';
import type { Image } from './vet-ways.ts';
import { VDI_VECTORS } from './vdi-vectors.ts';
import { VECTORS } from './vectors.ts';
import { VHD_VECTORS } from './vhd-vectors.ts';
import { VHDX_VECTORS } from './vhdx-vectors.ts';
import { VMDK_VECTORS } from './vmdk-vectors.ts';

export interface FormatVector {
  /** `<format>/<name of the vector>`. */
  readonly name: string;
  readonly declared: string;
  readonly image: () => Image;
  /** Whether memory holds it, so that it can be streamed. */
  readonly fits: boolean;
  /** undefined: readable, and the verdict is whatever else there is to say of it. */
  readonly verdict: Verdict | undefined;
  /** Code of the reason that must be there. */
  readonly code: string | undefined;
}

const MAX_BYTES = 2 ** 30;

/** Other reasons than the parser's error, which a verdict finds before. */
const AS_VERDICT: Readonly<Record<string, string>> = {
  'vmdk/corrupt--empty': 'EMPTY',
  'vhd/corrupt--empty-file': 'EMPTY',
  'vdi/corrupt--empty-file': 'EMPTY',
  'vhdx/corrupt--empty-file': 'EMPTY',
  'vhdx/refused--differencing': 'HAS_PARENT',
  'vhdx/refused--differencing-without-names': 'HAS_PARENT',
};

/** Compressed grains are the guest's data, which no verdict decompresses: their reader meets these. */
const ONLY_WHEN_READ = /^corrupt--(no-zlib|zlib-|bomb|grain-one-byte-short)/;
/** Codes of the figures' parser, and those by which the verdict's own check of a qcow2 refuses the same images. */
const QCOW2_AS_VERDICT: Readonly<Record<string, RegExp>> = {
  QCOW2_L1_ENTRY: /^(ENTRY_INVALID|STRUCTURES_OVERLAP)$/,
  QCOW2_L2_ENTRY: /^ENTRY_INVALID$/,
  QCOW2_COMPRESSED_OFFSET: /^ENTRY_INVALID$/,
  QCOW2_REFCOUNT_BLOCK: /^ENTRY_INVALID$/,
  QCOW2_REFCOUNT_BLOCK_TWICE: /^STRUCTURES_OVERLAP$/,
  QCOW2_OVERLAP: /^(STRUCTURES_OVERLAP|DATA_OVER_TABLE)$/,
  QCOW2_L2_TABLE_TWICE: /^(CLUSTER_USED_TWICE|STRUCTURES_OVERLAP)$/,
  QCOW2_BITMAP: /^BITMAP_UNSOUND$/,
};

/** Whether `codes` of a verdict refuse the image for the reason that `code` names. */
export function isRefusedFor(code: string, codes: readonly string[]): boolean {
  return codes.some((one) => one === code || QCOW2_AS_VERDICT[code]?.test(one) === true);
}

/** Clusters past 2^53, which the figures do not count and QEMU uses: the verdict does not refuse them. */
const BEYOND_FIGURES = 'qcow2/unsupported--refcount-block-for-clusters-past-2-to-53';
/** Images that are read, whatever figures or findings come of them. */
const READABLE = /^(read|report|finding)--/;
/** A difference to another image is refused as that, before anybody misses its bytes. */
const AT_READ = 'HAS_PARENT';

interface Source {
  readonly name: string;
  readonly image: Uint8Array | { readonly length?: number; bytes(): Uint8Array; write?(path: string): unknown };
  readonly code?: string;
  readonly atRead?: boolean;
}

const SOURCES: readonly (readonly [string, readonly Source[]])[] = [
  ['qcow2', VECTORS],
  ['vmdk', VMDK_VECTORS],
  ['vhd', VHD_VECTORS],
  ['vdi', VDI_VECTORS],
  ['vhdx', VHDX_VECTORS],
];

export const FORMAT_VECTORS: readonly FormatVector[] = SOURCES.flatMap(([declared, sources]) =>
  sources.map(({ name, image, code, atRead }) => {
    const full = `${declared}/${name}`;
    const isBytes = image instanceof Uint8Array;
    const fits = isBytes || (image.length ?? 0) <= MAX_BYTES;
    const isRead = READABLE.test(name) || full === BEYOND_FIGURES || (declared === 'vmdk' && ONLY_WHEN_READ.test(name));
    return {
      name: full,
      declared,
      fits,
      image: () => (isBytes ? image : fits ? image.bytes() : (image as Image)),
      verdict: isRead ? undefined : 'refused',
      code: isRead ? undefined : (AS_VERDICT[full] ?? (atRead === true ? AT_READ : code)),
    };
  }),
);
