/** A second opinion: what `qemu-img info` says of the same file, itself confined, and where the two disagree. */
import { asPlimsollError, formatBytes, MiB, quoteForHumans } from '#base';
import { JAILED_FILE, runJailedTool, type ToolAnswer } from '#host';
import type { VetReason } from '#wire';
import type { Judgement } from './judge.ts';
import { qemuDriverOf } from './next-steps.ts';
import type { VetFormat } from './policy.ts';
import { useOf } from './verdict.ts';

/** What Nova and Glance give it too. */
const LIMITS = { seconds: 30, memoryBytes: 1024 * MiB, outputBytes: 16 * MiB };

/** As far as it is compared. */
interface QemuInfo {
  readonly format?: unknown;
  readonly 'virtual-size'?: unknown;
  readonly 'backing-filename'?: unknown;
  readonly encrypted?: unknown;
  readonly snapshots?: unknown;
}

/**
 * Reasons in which QEMU's reading differs from `judgement`; none when both agree.
 *
 * Throws: unsupported, SANDBOX_UNAVAILABLE; io; the signal's reason.
 */
export async function compareWithQemu(fd: number, judgement: Judgement, signal?: AbortSignal): Promise<VetReason[]> {
  const ask = (words: readonly string[]): Promise<ToolAnswer> =>
    runJailedTool(['qemu-img', 'info', '--output=json', ...words, JAILED_FILE], { ...LIMITS, fd, signal });
  const guessed = readAnswer(await ask([]));
  const format = judgement.format as VetFormat | null;
  const told = format === null ? undefined : readAnswer(await ask(['-f', qemuDriverOf(format)]));
  return [...compareGuess(guessed, judgement), ...(told === undefined ? [] : compareTold(told, judgement))];
}

type Answer = { readonly info: QemuInfo } | { readonly complaint: string };

function readAnswer({ code, stdout, stderr }: ToolAnswer): Answer {
  if (code === 0) {
    try {
      return { info: JSON.parse(stdout) as QemuInfo };
    } catch (thrown) {
      return { complaint: asPlimsollError(thrown, 'read the answer of qemu-img').message };
    }
  }
  return { complaint: code === null ? 'it exceeded its limits' : quoteForHumans(complaintIn(stderr), 200) };
}

/** What went wrong; behind it may stand advice, before it warnings. */
function complaintIn(stderr: string): string {
  const lines = stderr.trim().split('\n');
  return lines.find((line) => line.startsWith('qemu-img: Could not')) ?? lines.at(-1) ?? '';
}

/** What a tool that is left to guess would take the file for. */
function compareGuess(answer: Answer, { format, declared }: Judgement): VetReason[] {
  if (!('info' in answer) || format === null || declared !== null) return [];
  const driver = qemuDriverOf(format as VetFormat);
  if (answer.info.format === driver) return [];
  return [differs(`qemu-img detects the format ${shown(answer.info.format)}, plimsoll detects ${format}`)];
}

function compareTold(answer: Answer, judgement: Judgement): VetReason[] {
  if (!('info' in answer)) {
    // Of a VHDX that was not closed QEMU reads nothing, and the verdict says so.
    if (!isAccepted(judgement) || (hasReason(judgement, 'LOG_PENDING') && answer.complaint.includes('log that needs'))) return [];
    return [differs(`qemu-img refuses what plimsoll accepts: ${answer.complaint}`)];
  }
  const { info } = answer;
  const reasons: VetReason[] = [];
  const capacity = info['virtual-size'];
  if (judgement.capacity !== null && capacity !== judgement.capacity)
    reasons.push(
      differs(
        `qemu-img reports a disk of ${shown(capacity)} bytes, plimsoll one of ${formatBytes(judgement.capacity)} (${judgement.capacity})`,
      ),
    );
  const namesOther = ['HAS_BACKING_FILE', 'BACKING_SCHEME', 'HAS_PARENT'].some((code) => hasReason(judgement, code));
  if (info['backing-filename'] !== undefined && isAccepted(judgement) && !namesOther)
    reasons.push(differs(`qemu-img reports a backing file: ${shown(info['backing-filename'])}`));
  if (info.encrypted === true && isAccepted(judgement) && judgement.details['encryption'] === 'none')
    reasons.push(differs('qemu-img reports an encrypted image'));
  const snapshots = Array.isArray(info.snapshots) ? info.snapshots.length : 0;
  const ours = judgement.details['internalSnapshots'];
  if (typeof ours === 'number' && isAccepted(judgement) && snapshots !== ours)
    reasons.push(differs(`qemu-img reports ${snapshots} internal snapshots, plimsoll ${ours}`));
  return reasons;
}

/** Whether the image has a use: then qemu-img must read the same. */
function isAccepted({ reasons }: Judgement): boolean {
  const use = useOf(reasons);
  return use === 'attach' || use === 'convert';
}

function hasReason({ reasons }: Judgement, code: string): boolean {
  return reasons.some((reason) => reason.code === code);
}

function shown(value: unknown): string {
  return quoteForHumans(String(value), 200);
}

function differs(what: string): VetReason {
  return { level: 'ambiguous', code: 'QEMU_DISAGREES', message: `${what}.` };
}
