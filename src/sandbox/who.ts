/** An image path becomes the report of who uses it. Nothing of the image is read. */
import { asPlimsollError, PlimsollError } from '#base';
import {
  type FileUse,
  fileUseOf,
  type ForeignLock,
  type HoldingProcess,
  type LockSearch,
  nameText,
  ProcessFiles,
  UNSHARED_BASE,
  USES_BASE,
} from '#host';
import type { ForeignLockReport, HeldLock, LockReport, ProcessUser, UseReport } from '#wire';
import { judgeUse, permissionBytesIn } from './use-verdict.ts';

export interface WhoOptions {
  /** Ask for QEMU's locks alone, and not for processes and loop devices. Who takes no lock is then not seen. */
  readonly locksOnly?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** As the layers above ask: of many images in one run. */
export interface ExamineUseOptions extends WhoOptions {
  /** Shared by the images of one run. */
  readonly processes?: ProcessFiles | undefined;
}

/**
 * Who uses the image at `path`.
 *
 * Throws: PlimsollError (not-found, io, refused, busy); the signal's reason when aborted.
 */
export async function who(path: string | Buffer, options: WhoOptions = {}): Promise<UseReport> {
  const report = await examineUse(path, options);
  if (report.error !== undefined) throw PlimsollError.revive(report.error, report.path);
  return report;
}

/** As `who`; what goes wrong is the report's `error`, never an exception, save an abort. */
export async function examineUse(path: string | Buffer, options: ExamineUseOptions = {}): Promise<UseReport> {
  const { signal } = options;
  const processes = options.locksOnly === true ? undefined : (options.processes ?? new ProcessFiles());
  try {
    signal?.throwIfAborted();
    return reportOf(await fileUseOf(path, { processes, signal }));
  } catch (thrown) {
    if (signal?.aborted === true) throw thrown;
    return failed(nameText(path), asPlimsollError(thrown, 'query the users of the image', nameText(path)));
  }
}

function reportOf(use: FileUse): UseReport {
  const { processes, loops } = use;
  return {
    path: use.path,
    file: use.identity,
    ...judgeUse(use),
    processes: processes?.processes.map(processUser) ?? null,
    inaccessibleProcesses: processes?.inaccessibleCount ?? null,
    loopDevices: typeof loops === 'object' ? loops.devices : null,
    locks: lockReport(use.locks),
  };
}

function failed(path: string, error: PlimsollError): UseReport {
  return {
    path,
    file: null,
    verdict: 'unknown',
    reading: 'unknown',
    writing: 'unknown',
    advice: 'Unknown: treat it as in use.',
    processes: null,
    inaccessibleProcesses: null,
    loopDevices: null,
    locks: null,
    findings: [],
    error: error.toJSON(),
  };
}

function processUser(one: HoldingProcess): ProcessUser {
  return {
    pid: one.pid,
    uid: one.uid ?? null,
    name: one.name,
    program: one.program ?? null,
    access: one.access,
    machine: one.machine === undefined ? null : { name: one.machine.name ?? null, uuid: one.machine.uuid ?? null },
    descriptors: one.descriptors,
    lockedBytes: permissionBytesIn(one.lockedRanges),
    commandLine: one.commandLine,
  };
}

/** In the order of QEMU's BLK_PERM_* bits. */
const PERMISSIONS = ['consistent-read', 'write', 'write-unchanged', 'resize', 'graph-mod'] as const;

function lockReport({ kernel, table, held, foreign, possible }: LockSearch): LockReport {
  return {
    kernel,
    table,
    held: held.map(({ byte, sources }) => ({ byte, ...meaningOf(byte), sources })),
    others: foreign.map(foreignLock),
    possible: possible.map(({ superblock, start, end }) => ({ device: superblock, start, end: finiteOrNull(end) })),
  };
}

function meaningOf(byte: number): Pick<HeldLock, 'role' | 'permission'> {
  const role = byte < UNSHARED_BASE ? 'uses' : 'unshared';
  const permission = PERMISSIONS[byte - (role === 'uses' ? USES_BASE : UNSHARED_BASE)] ?? 'graph-mod';
  return { role, permission };
}

function foreignLock({ kind, exclusive, pid, start, end }: ForeignLock): ForeignLockReport {
  return { kind, exclusive, pid: pid ?? null, start, end: finiteOrNull(end) };
}

function finiteOrNull(end: number): number | null {
  return Number.isFinite(end) ? end : null;
}
