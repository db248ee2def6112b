/** Components as a sum that visibly adds up. */
import { escapeForTerminal, formatBytes, formatExact } from '#base';
import type { Component } from '#wire';
import { padStart, wrap } from './text.ts';

/** Columns of the exact and of the rounded number, and the blanks around them. */
const IEC_COLUMN = 11;
const SIGN = '  + ';

/** One line per component, a rule, and the total; exact bytes first, since those add up. */
export function sumLines(components: readonly Component[], total: number, width: number, totalName = 'commitment'): string[] {
  const totalText = (total < 0 ? '-' : '') + formatExact(Math.abs(total));
  const exactColumn = Math.max(totalText.length, ...components.map((one) => formatExact(Math.abs(one.bytes)).length));
  const before = (bytes: number): string =>
    `${padStart(formatExact(Math.abs(bytes)), exactColumn)}  ${padStart(formatBytes(Math.abs(bytes)), IEC_COLUMN)}`;
  const nameRoom = width - SIGN.length - exactColumn - IEC_COLUMN - 4;
  const blank = ' '.repeat(SIGN.length + exactColumn + IEC_COLUMN + 2);
  const lines = components.flatMap((one, index) => {
    const sign = one.bytes < 0 ? '  - ' : index === 0 || one.bytes === 0 ? '    ' : SIGN;
    const [first = '', ...others] = wrap(escapeForTerminal(one.name), nameRoom);
    return [`${sign}${before(one.bytes)}  ${first}`, ...others.map((line) => `${blank}  ${line}`)];
  });
  return [
    ...lines,
    `    ${'-'.repeat(exactColumn)}`,
    `  = ${padStart(totalText, exactColumn)}  ${padStart(formatBytes(total), IEC_COLUMN)}  ${totalName}`,
  ];
}
