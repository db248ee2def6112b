/**
 * Judges the users of a file: whether it is read, written or free, and which access is safe. A file without known users is
 * "free" only if every process could be inspected.
 */
import { type FileUse, LIBVIRT_BYTE, PERMISSION_COUNT, UNSHARED_BASE, USES_BASE } from '#host';
import type { Finding, UseReport, UseVerdict } from '#wire';

/** The permissions, in QEMU's order, whose use means that the file's bytes may change. */
const WRITING_BYTES: readonly number[] = [USES_BASE + 1, USES_BASE + 2, USES_BASE + 3];

export type Judgement = Pick<UseReport, 'verdict' | 'reading' | 'writing' | 'advice' | 'findings'>;

/** What may be done with a file that is used so. */
export function judgeUse(use: FileUse): Judgement {
  const gaps = gapsIn(use);
  const verdict = verdictOf(use, gaps.length > 0);
  const asked = use.processes === undefined ? 'locks' : 'everything';
  return {
    verdict,
    reading: verdict === 'writer' ? 'torn' : gaps.length > 0 ? 'unknown' : 'safe',
    writing: verdict === 'free' ? 'safe' : verdict === 'unknown' ? 'unknown' : 'unsafe',
    advice: adviceOn(verdict, gaps.length > 0, asked),
    findings: [...gaps, ...observations(use)],
  };
}

function verdictOf(use: FileUse, hasGaps: boolean): UseVerdict {
  if (isWritten(use)) return 'writer';
  if (isOpen(use)) return 'reader';
  return hasGaps ? 'unknown' : 'free';
}

function isWritten({ locks, processes, loops }: FileUse): boolean {
  return (
    locks.held.some(({ byte }) => WRITING_BYTES.includes(byte)) ||
    // Only who has a file open for writing can lock a range of it exclusively.
    locks.foreign.some(({ exclusive, kind }) => exclusive && ['POSIX', 'OFDLCK', 'unknown'].includes(kind)) ||
    (processes?.processes ?? []).some(({ access }) => access !== 'read') ||
    (typeof loops === 'object' && loops.devices.some(({ readOnly }) => !readOnly))
  );
}

function isOpen({ locks, processes, loops }: FileUse): boolean {
  return (
    locks.held.length > 0 ||
    locks.foreign.length > 0 ||
    (processes?.processes ?? []).length > 0 ||
    (typeof loops === 'object' && loops.devices.length > 0)
  );
}

/** Users that could not be detected: with any of these, a file without known users is not free. */
function gapsIn(use: FileUse): Finding[] {
  return [...lockGaps(use), ...processGaps(use), ...loopGaps(use), ...remoteGaps(use)];
}

function lockGaps({ locks }: FileUse): Finding[] {
  const gaps: Finding[] = [];
  if (locks.kernel !== 'queried' && locks.table === 'unreadable') {
    gaps.push({
      level: 'warning',
      code: 'LOCKS_UNKNOWN',
      message: 'Lock query failed: neither F_OFD_GETLK (needs koffi) nor /proc/locks is available.',
    });
  }
  if (locks.possible.length > 0) {
    gaps.push({
      level: 'warning',
      code: 'LOCK_POSSIBLE',
      message: 'The same inode number is locked on another device; cannot determine whether it is this file.',
    });
  }
  return gaps;
}

function processGaps({ processes }: FileUse): Finding[] {
  const gaps: Finding[] = [];
  const inaccessible = processes?.inaccessibleCount ?? 0;
  if (inaccessible > 0) {
    gaps.push({
      level: 'warning',
      code: 'PROCESSES_INACCESSIBLE',
      message: `Could not look into ${inaccessible === 1 ? '1 process' : `${inaccessible} processes`}, which may have the image open. Root can inspect most processes.`,
    });
  }
  if (processes?.hidden !== undefined) {
    const why =
      processes.hidden === 'hidepid' ? '/proc hides the processes of other users' : 'this is a container with a PID namespace of its own';
    gaps.push({ level: 'warning', code: 'PROCESSES_HIDDEN', message: `Some processes are hidden: ${why}.` });
  }
  return gaps;
}

function loopGaps({ loops }: FileUse): Finding[] {
  if (loops === undefined || (loops !== 'unreadable' && loops.unresolvedCount === 0)) return [];
  const what =
    loops === 'unreadable'
      ? 'Could not list the loop devices'
      : `Could not tell on which file ${loops.unresolvedCount} of the loop devices rest`;
  return [{ level: 'warning', code: 'LOOP_DEVICES_UNKNOWN', message: `${what}: one of them may use the image.` }];
}

/** Filesystems whose files others can have open where we cannot look. */
const REMOTE =
  /^(?:nfs4?|cifs|smb3?|smbfs|ceph|9p|virtiofs|glusterfs|lustre|gpfs|beegfs|afs|orangefs|pvfs2|ocfs2|gfs2|vboxsf|fuse(?:\..*)?)$/;

function remoteGaps({ filesystemType }: FileUse): Finding[] {
  if (filesystemType !== undefined && !REMOTE.test(filesystemType)) return [];
  const where = filesystemType === undefined ? 'on an unknown filesystem' : `on ${filesystemType}`;
  return [
    {
      level: 'warning',
      code: 'OTHER_HOSTS_UNKNOWN',
      message: `The image is ${where}: other hosts may be using it, which is not visible on this host.`,
    },
  ];
}

function observations({ locks, processes }: FileUse): Finding[] {
  const found: Finding[] = [];
  const silent = (processes?.processes ?? []).filter((one) => one.access !== 'read' && !one.lockedRanges.some(coversWriting)).length;
  if (silent > 0) {
    found.push({
      level: 'warning',
      code: 'WRITER_WITHOUT_LOCK',
      message: `${silent === 1 ? '1 process has' : `${silent} processes have`} the image open for writing and no QEMU lock on it: QEMU would open it for writing too.`,
    });
  }
  if (locks.foreign.some((lock) => lock.kind !== 'FLOCK' && lock.start === LIBVIRT_BYTE && lock.end === LIBVIRT_BYTE)) {
    found.push({
      level: 'info',
      code: 'LIBVIRT_LOCK',
      message: "Byte 0 is locked, as libvirt's lock daemon does for the disks of running VMs.",
    });
  }
  return found;
}

function coversWriting({ start, end }: { readonly start: number; readonly end: number }): boolean {
  return WRITING_BYTES.some((byte) => start <= byte && byte <= end);
}

function adviceOn(verdict: UseVerdict, hasGaps: boolean, asked: 'locks' | 'everything'): string {
  if (verdict === 'writer') return 'Do not write. Reads may be torn: it is open for writing.';
  if (verdict === 'unknown') return 'Unknown: treat it as in use. Do not write; reads may be torn.';
  if (verdict === 'reader') {
    const reading = hasGaps ? 'Reads may be torn, since not every process could be inspected.' : 'Safe to read.';
    return `Do not write: readers, such as the VM of an overlay, rely on its bytes. ${reading}`;
  }
  if (asked === 'locks') return "Safe to read and write according to QEMU's locks: processes that take no QEMU lock are not detected.";
  return 'Safe to read and write, unless a process opens it meanwhile.';
}

/** QEMU's permission bytes that the ranges cover. */
export function permissionBytesIn(ranges: readonly { readonly start: number; readonly end: number }[]): number[] {
  const numbers = Array.from({ length: PERMISSION_COUNT }, (_, index) => index);
  const bytes = [...numbers.map((n) => USES_BASE + n), ...numbers.map((n) => UNSHARED_BASE + n)];
  return bytes.filter((byte) => ranges.some(({ start, end }) => start <= byte && byte <= end));
}
