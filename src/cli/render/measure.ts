/** The figures of an image that does not exist yet, for people. */
import { escapeForTerminal } from '#base';
import type { MeasureReport } from '#wire';
import { figureLine } from './image.ts';
import { sumLines } from './sum.ts';
import type { Theme } from './theme.ts';

export function measureLines(report: MeasureReport, title: string, theme: Theme, explain: boolean): string[] {
  return [
    theme.paint('strong', escapeForTerminal(title)),
    figureLine('capacity', report.capacity),
    figureLine('length', report.length),
    figureLine('allocation', report.allocation),
    figureLine('commitment', report.commitment),
    figureLine('expected', report.expected),
    figureLine('max length', report.maxLength),
    ...(explain ? ['', '  The commitment is made of:', ...sumLines(report.addends, report.commitment, theme.width)] : []),
  ];
}
