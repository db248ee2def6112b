/**
 * From what a reader found to the report: verdict, use and next steps are derived here, outside of the confined worker, and
 * never taken from its answer.
 */
import { fileArgument, shellLine } from '#base';
import type { VetIdentity, VetReason, VetReport } from '#wire';
import type { Judgement } from './judge.ts';
import { nextSteps } from './next-steps.ts';
import { VET_FORMATS, type VetPolicy } from './policy.ts';
import { policyReasons } from './policy-reasons.ts';
import { LEVELS, useOf, verdictOf } from './verdict.ts';

/** Codes of reasons for which no command of QEMU reads the image as it is. */
const NOT_READ_BY_QEMU: readonly string[] = ['QEMU_CANNOT_OPEN', 'LOG_PENDING'];

/** The reader of the bytes does not know the file's name: where a reason has a command, it is added here. */
function withCommand(reason: VetReason, path: string | null): VetReason {
  if (reason.code !== 'LOG_PENDING') return reason;
  const command = shellLine(['qemu-img', 'check', '-f', 'vhdx', '-r', 'all', fileArgument(path ?? 'FILE')]);
  return { ...reason, message: `${reason.message} This command applies it, and changes the file: ${command}` };
}

export interface ConcludeOptions {
  /** null for a stream. */
  readonly path: string | null;
  readonly identity: VetIdentity;
  readonly policy: VetPolicy;
}

/** The report on the judged object. */
export function conclude(judgement: Judgement, { path, identity, policy }: ConcludeOptions): VetReport {
  const { format, declared, examined, capacity, length, signs, details } = judgement;
  const all = [...judgement.reasons.map((reason) => withCommand(reason, path)), ...policyReasons(judgement, policy)];
  const reasons = LEVELS.flatMap((level) => all.filter((reason) => reason.level === level));
  const use = useOf(reasons);
  const known = VET_FORMATS.find((one) => one === format);
  const isReadByQemu = !reasons.some(({ code }) => NOT_READ_BY_QEMU.includes(code));
  const standsAlone = !reasons.some(({ code }) => code === 'HAS_BACKING_FILE');
  return {
    path,
    verdict: verdictOf(reasons),
    use,
    format,
    declared,
    examined,
    capacity,
    length,
    ratio: capacity === null || length === 0 ? null : Math.round((capacity / length) * 1000) / 1000,
    reasons,
    signs,
    details,
    identity,
    next: known === undefined || !isReadByQemu ? null : nextSteps({ format: known, use, capacity, standsAlone, path }),
  };
}
