/** Renders an admission decision: the verdict, its calculation and the reservation. */
import { escapeForTerminal, formatBytes } from '#base';
import { type AdmissionDecision, type PolicySum, sumOfComponents } from '#wire';
import { sumLines } from './sum.ts';
import { wrap } from './text.ts';
import type { Theme } from './theme.ts';

export function admissionLines(decision: AdmissionDecision, theme: Theme, explain: boolean): string[] {
  const { admitted, message, reservation, sum, store } = decision;
  const style = admitted === null ? 'warning' : admitted ? 'good' : 'danger';
  const word = admitted === null ? 'Unknown.' : admitted ? 'Admitted.' : 'NOT admitted.';
  const isForced = admitted !== true && reservation !== null;
  const lines = [`${theme.paint(style, word)} ${escapeForTerminal(message)}`].flatMap((line) => wrap(line, theme.width));
  // The message of an unknown result contains the caveat already.
  const components = admitted === null ? { ...sum, unknown: null } : sum;
  if (explain)
    lines.push('', `  On ${escapeForTerminal(store)}, under the policy ${sum.policy}:`, ...policySumLines(components, theme.width));
  if (reservation !== null) {
    const { key, bytes, expiresAt } = reservation;
    const text = `${isForced ? 'Reserved despite the answer (--overcommit)' : 'Reserved'}: ${formatBytes(bytes)} with the key ${escapeForTerminal(key)}, until ${expiresAt}.`;
    lines.push('', ...wrap(text, theme.width));
  }
  return lines;
}

/** The components by name, and the remainder. */
export function policySumLines({ components, remaining, unknown }: PolicySum, width: number): string[] {
  const total = remaining ?? sumOfComponents(components);
  const name = remaining === null ? 'remaining, without unknown components' : 'remaining';
  const lines = components.length === 0 ? [] : sumLines(components, total, width, name);
  return unknown === null ? lines : [...lines, ...wrap(`  ${escapeForTerminal(unknown)}`, width)];
}
