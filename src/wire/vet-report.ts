/** The types of `plimsoll.vet/1`: the verdict on an untrusted image. */
import type { VetReasonSchema, VetIdentitySchema, VetConversionSchema, VetNextSchema, VetReportSchema } from './schemas/vet.ts';
import type { Shape } from './shape.ts';

/**
 * refused: something in it is dangerous or forbidden. ambiguous: two readers could take it for two things.
 * header-only: the tables were not examined. unrecognised: raw bytes without any sign of a disk. convert: fit for one confined
 * read into a clean copy. safe: fit to be attached to a guest.
 */
export type Verdict = VetReport['verdict'];

/** The permitted use of the image: attached to a guest, read once by a confined reader into a clean copy, or nothing. */
export type VetUse = NonNullable<VetReport['use']>;

export type VetReason = Shape<typeof VetReasonSchema>;

/** Which object was judged: compare it again before use, so that a swapped file is noticed. */
export type VetIdentity = Shape<typeof VetIdentitySchema>;

/** Commands that copy an image, read by a confined process under limits, into a new qcow2. */
export type VetConversion = Shape<typeof VetConversionSchema>;

/** How to use the image, without a format that a tool would have to guess. */
export type VetNext = Shape<typeof VetNextSchema>;

/** One image's verdict; the document is `{schema: 'plimsoll.vet/1', images: VetReport[]}`. */
export type VetReport = Shape<typeof VetReportSchema>;
