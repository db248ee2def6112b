/** Renders findings: a mark for the level, then the sentence. */
import { escapeForTerminal } from '#base';
import type { Finding, FindingLevel } from '#wire';
import { wrapAfter } from './text.ts';
import type { Style, Theme } from './theme.ts';

const MARKS: Readonly<Record<FindingLevel, { mark: string; style: Style }>> = {
  critical: { mark: 'CRITICAL', style: 'danger' },
  warning: { mark: 'warning ', style: 'warning' },
  info: { mark: 'note    ', style: 'faint' },
};

const LEVELS: readonly FindingLevel[] = ['critical', 'warning', 'info'];

/** The most severe first; within a level in the given order. */
export function bySeverity<F extends { readonly level: FindingLevel }>(findings: readonly F[]): F[] {
  return LEVELS.flatMap((level) => findings.filter((one) => one.level === level));
}

/** `  warning   sentence, wrapped`, one finding after another. */
export function findingLines(findings: readonly Finding[], theme: Theme): string[] {
  return bySeverity(findings).flatMap((finding) => markedLines(finding.level, textWithCode(finding), theme));
}

/** The sentence, and the code under which docs/findings.md and docs/errors.md explain it. */
export function textWithCode({ message, code }: { readonly message: string; readonly code: string }): string {
  return escapeForTerminal(`${message} [${code}]`);
}

/** `text`, already escaped, after the mark of `level`. */
export function markedLines(level: FindingLevel, text: string, theme: Theme): string[] {
  const { mark, style } = MARKS[level];
  const [first = '', ...others] = wrapAfter(`  ${mark}  `, text, theme.width);
  return [first.replace(mark, () => theme.paint(style, mark)), ...others];
}
