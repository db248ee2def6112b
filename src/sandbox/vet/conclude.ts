/**
 * From what a reader found to the report: verdict, use and next steps are derived here, outside of the confined worker, and
 * never taken from its answer.
 */
import type { VetIdentity, VetReport } from '#wire';
import type { Judgement } from './judge.ts';
import { nextSteps } from './next-steps.ts';
import { VET_FORMATS } from './policy.ts';
import { LEVELS, useOf, verdictOf } from './verdict.ts';

/** Codes of reasons for which no command of QEMU reads the image as it is. */
const NOT_READ_BY_QEMU: readonly string[] = ['QEMU_CANNOT_OPEN', 'LOG_PENDING'];

/** The report on the object that `path` and `identity` name; a path of null is a stream's. */
export function conclude(judgement: Judgement, path: string | null, identity: VetIdentity): VetReport {
  const { format, declared, examined, capacity, length, signs, details } = judgement;
  const reasons = LEVELS.flatMap((level) => judgement.reasons.filter((reason) => reason.level === level));
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
