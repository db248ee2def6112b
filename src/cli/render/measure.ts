/** Renders the figures of an image that does not exist yet. */
import { escapeForTerminal } from '#base';
import type { MeasureReport } from '#wire';
import { findingLines } from './findings.ts';
import { figureLine } from './image.ts';
import { sumLines } from './sum.ts';
import type { Theme } from './theme.ts';

export function measureLines(report: MeasureReport, title: string, theme: Theme, explain: boolean): string[] {
  return [
    theme.paint('strong', escapeForTerminal(title)),
    figureLine('capacity', report.capacity, theme.width),
    figureLine('length', report.length, theme.width),
    figureLine('allocation', report.allocation, theme.width),
    figureLine('commitment', report.commitment, theme.width),
    figureLine('expected', report.expected, theme.width),
    figureLine('max length', report.maxLength, theme.width),
    ...(explain ? ['', '  The commitment is made of:', ...sumLines(report.components, report.commitment, theme.width)] : []),
    ...(report.findings.length > 0 ? ['', ...findingLines(report.findings, theme)] : []),
  ];
}
