/** From reasons to the verdict, and from the verdict to the use: the only place where either is derived. */
import type { Verdict, VetReason, VetUse } from '#wire';

type Level = VetReason['level'];

/** The gravest first. */
export const LEVELS: readonly Level[] = ['refuse', 'ambiguous', 'header-only', 'unrecognised', 'convert', 'note'];

const VERDICT_OF_LEVEL: Readonly<Record<Level, Verdict>> = {
  refuse: 'refused',
  ambiguous: 'ambiguous',
  'header-only': 'header-only',
  unrecognised: 'unrecognised',
  convert: 'convert',
  note: 'safe',
};

/** The verdict of the gravest reason; safe without one. */
export function verdictOf(reasons: readonly VetReason[]): Verdict {
  const gravest = LEVELS.find((level) => reasons.some((reason) => reason.level === level)) ?? 'note';
  return VERDICT_OF_LEVEL[gravest];
}

/** What an image with these reasons may be used for; null where the verdict is ambiguous or header-only. */
export function useOf(reasons: readonly VetReason[]): VetUse | null {
  const verdict = verdictOf(reasons);
  if (verdict === 'refused') return 'refuse';
  if (verdict === 'ambiguous' || verdict === 'header-only') return null;
  // An unrecognised disk of a format that the policy does not attach is still only to be converted.
  return reasons.some(({ level }) => level === 'convert') ? 'convert' : 'attach';
}
