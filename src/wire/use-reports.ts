/**
 * The types of `plimsoll.who/1`: the users of an image, and whether it is safe to read or write meanwhile.
 * An unknown value is null or a finding, never "free".
 */
import type {
  HeldLockSchema,
  ForeignLockReportSchema,
  LockReportSchema,
  ProcessUserSchema,
  LoopUserSchema,
  UseReportSchema,
  WhoReportSchema,
} from './schemas/who.ts';
import type { Shape } from './shape.ts';

/**
 * writer: a process may write to it. reader: a process has it open, and no writer was found. free: no process has it open.
 * unknown: no user was found, and some processes could not be inspected.
 */
export type UseVerdict = UseReport['verdict'];

/** One of QEMU's permission bytes under a shared lock. */
export type HeldLock = Shape<typeof HeldLockSchema>;

/** A lock that is not one of QEMU's. */
export type ForeignLockReport = Shape<typeof ForeignLockReportSchema>;

export type LockReport = Shape<typeof LockReportSchema>;

/** A process that has the image open. */
export type ProcessUser = Shape<typeof ProcessUserSchema>;

/** A loop device that rests on the image. */
export type LoopUser = Shape<typeof LoopUserSchema>;

/** Who uses one image. */
export type UseReport = Shape<typeof UseReportSchema>;

export type WhoReport = Shape<typeof WhoReportSchema>;
