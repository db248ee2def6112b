/** The users of an image: `plimsoll.who/1`. */
import { Type } from 'typebox';
import { Count, described, ErrorSchema, FindingSchema, HostSchema, nullable, shape } from './common.ts';

const UseVerdictSchema = Type.Enum(['free', 'reader', 'writer', 'unknown']);

export const HeldLockSchema = shape('HeldLock', {
  byte: Count,
  role: described('uses: a process uses the permission. unshared: a process denies it to others.', Type.Enum(['uses', 'unshared'])),
  permission: described('As QEMU calls it.', Type.Enum(['consistent-read', 'write', 'write-unchanged', 'resize', 'graph-mod'])),
  sources: described('kernel: F_OFD_GETLK said so; table: /proc/locks.', Type.Array(Type.Enum(['kernel', 'table']))),
});

export const ForeignLockReportSchema = shape('ForeignLockReport', {
  kind: described('As /proc/locks calls it: POSIX, OFDLCK, FLOCK, LEASE, DELEG; unknown where only the kernel was asked.', Type.String()),
  exclusive: Type.Boolean(),
  pid: nullable(Count),
  start: Count,
  end: described('The last byte; null: to the end of the file.', nullable(Count)),
});

export const LockReportSchema = shape('LockReport', {
  kernel: described(
    'F_OFD_GETLK. absent: koffi is not installed; failed: the kernel rejected it.',
    Type.Enum(['queried', 'failed', 'absent']),
  ),
  table: described('/proc/locks.', Type.Enum(['read', 'unreadable'])),
  held: Type.Array(HeldLockSchema),
  others: Type.Array(ForeignLockReportSchema),
  possible: described(
    'Locks on the same inode number of another device, which may be this file: `MAJOR:MINOR` and the range.',
    Type.Array(
      Type.Object({
        device: Type.String(),
        start: Count,
        end: nullable(Count),
      }),
    ),
  ),
});

export const ProcessUserSchema = shape('ProcessUser', {
  pid: Count,
  uid: described('The effective user id.', nullable(Count)),
  name: described('The name that the process states.', Type.String()),
  program: described("The program's file name.", nullable(Type.String())),
  access: Type.Enum(['read', 'write', 'read-write']),
  machine: described(
    'The virtual machine that it runs, by its own command line.',
    nullable(
      Type.Object({
        name: nullable(Type.String()),
        uuid: nullable(Type.String()),
      }),
    ),
  ),
  descriptors: Type.Array(Count),
  lockedBytes: described("QEMU's permission bytes that it holds.", Type.Array(Count)),
  commandLine: described('As the process shows it, secrets left out.', Type.Array(Type.String())),
});

export const LoopUserSchema = shape('LoopUser', {
  device: Type.String(),
  readOnly: Type.Boolean(),
  mountPoints: Type.Array(Type.String()),
  usedBy: described('Block devices that rest on it.', Type.Array(Type.String())),
});

export const UseReportSchema = shape('UseReport', {
  path: Type.String(),
  file: described('Device and inode numbers; null when the image could not be opened.', nullable(Type.String())),
  verdict: UseVerdictSchema,
  reading: described('safe: no process writes. torn: a writer may change it between two reads.', Type.Enum(['safe', 'torn', 'unknown'])),
  writing: described('safe: no process has it open. unsafe: a process relies on its bytes.', Type.Enum(['safe', 'unsafe', 'unknown'])),
  advice: described('The operations that are safe, in a sentence or two.', Type.String()),
  processes: described('null when they were not asked about.', nullable(Type.Array(ProcessUserSchema))),
  inaccessibleProcesses: described('Processes that could not be looked into; null when they were not asked about.', nullable(Count)),
  loopDevices: described('null when they were not asked about, or could not be.', nullable(Type.Array(LoopUserSchema))),
  locks: described('null when the image could not be opened.', nullable(LockReportSchema)),
  findings: Type.Array(FindingSchema),
  error: Type.Optional(ErrorSchema),
});

export const WhoReportSchema = shape('WhoReport', {
  schema: Type.Literal('plimsoll.who/1'),
  host: HostSchema,
  images: described('One entry for each given name, in that order.', Type.Array(UseReportSchema)),
});
