/** Findings of an image or a store, the worst first. */
import { escapeForTerminal } from '#base';
import type { JSX } from 'preact';
import type { Finding } from '#wire';
import type { Tone } from '../view/verdict.ts';
import { Badge } from './text.tsx';

const TONES: Readonly<Record<Finding['level'], Tone>> = { critical: 'danger', warning: 'warning', info: 'unknown' };
const ORDER: readonly Finding['level'][] = ['critical', 'warning', 'info'];

export function Findings({ findings }: { readonly findings: readonly Finding[] }): JSX.Element | null {
  if (findings.length === 0) return null;
  const sorted = [...findings].sort((one, other) => ORDER.indexOf(one.level) - ORDER.indexOf(other.level));
  return (
    <ul class="findings">
      {sorted.map((finding, index) => (
        <li key={index}>
          <Badge tone={TONES[finding.level]} word={finding.level} />
          <span>
            {escapeForTerminal(finding.message)} <code>{finding.code}</code>
          </span>
        </li>
      ))}
    </ul>
  );
}
