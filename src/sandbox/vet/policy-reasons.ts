/** What the policy has to object to an image's format and sizes: applied to the facts, outside of the confined worker. */
import { formatBytes } from '#base';
import type { Judgement } from './judge.ts';
import { VET_FORMATS, type VetFormat, type VetPolicy } from './policy.ts';
import { Reasons } from './reasons.ts';
import type { VetReason } from '#wire';

/** The reasons of `policy` against the judged image. */
export function policyReasons({ format, capacity, length }: Judgement, policy: VetPolicy): VetReason[] {
  const reasons = new Reasons();
  if (policy.maxLength !== null && length > policy.maxLength) reasons.refuse('TOO_LONG', tooLong(policy.maxLength));
  const known = VET_FORMATS.find((one) => one === format);
  if (known !== undefined && length > 0) judgeFormat(known, policy, reasons);
  if (capacity !== null) judgeSizes(capacity, length, policy, reasons);
  return reasons.list();
}

function judgeFormat(format: VetFormat, { formats, attach }: VetPolicy, reasons: Reasons): void {
  if (!formats.includes(format)) reasons.refuse('FORMAT_NOT_ALLOWED', `The policy does not accept ${format}.`);
  if (!attach.includes(format))
    reasons.convert(
      'CONVERT_ONLY',
      `${format} is not suitable for running a guest: guest writes can change how the file is interpreted. Convert it once, in a sandbox, ` +
        'into a new qcow2.',
    );
}

function judgeSizes(capacity: number, length: number, { maxCapacity, maxRatio }: VetPolicy, reasons: Reasons): void {
  if (maxCapacity !== null && capacity > maxCapacity)
    reasons.refuse('CAPACITY_TOO_LARGE', `The guest would see ${formatBytes(capacity)}; the policy allows ${formatBytes(maxCapacity)}.`);
  if (maxRatio !== null && length > 0 && capacity / length > maxRatio)
    reasons.refuse(
      'RATIO_TOO_LARGE',
      `The capacity is ${(capacity / length).toFixed(1)} times the file's length; the policy allows ${maxRatio}.`,
    );
}

/** The sentence about a file or stream that goes on past `maxLength` bytes. */
export function tooLong(maxLength: number): string {
  return `The file is longer than ${formatBytes(maxLength)}, the maximum that the policy allows.`;
}
