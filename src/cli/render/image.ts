/** Renders one image: its figures, the components of its commitment, its chain and its findings. */
import { escapeForTerminal, formatBytes, formatExact } from '#base';
import type { ChainLink, ImageReport } from '#wire';
import { detailsText } from './details.ts';
import { findingLines } from './findings.ts';
import { sumLines } from './sum.ts';
import { padEnd, padStart, wrapAfter } from './text.ts';
import type { Theme } from './theme.ts';

const LABEL_COLUMN = 16;

export interface ImageView {
  /** Show the components of the commitment. */
  readonly explain: boolean;
}

export function imageLines(image: ImageReport, theme: Theme, view: ImageView): string[] {
  const lines = [theme.paint('strong', escapeForTerminal(image.path))];
  if (image.error !== undefined) {
    lines.push(
      ...wrapAfter(label('cannot be read'), escapeForTerminal(image.error.message), theme.width).map((line) => theme.paint('danger', line)),
    );
  }
  if (image.format !== null) lines.push(...wrapAfter(label('format'), formatText(image), theme.width));
  lines.push(...figureLines(image, theme.width));
  if (image.nextSnapshot !== null) lines.push(...wrapAfter(label('next snapshot'), snapshotText(image.nextSnapshot.bytes), theme.width));
  for (const link of image.chain)
    lines.push(...wrapAfter(label(link.role === 'data' ? 'data file' : 'backing file'), linkText(link), theme.width));
  if (image.openForWriting === true) lines.push(...wrapAfter(label('in use'), IN_USE, theme.width));
  for (const one of image.unbounded) lines.push(...wrapAfter(label('unbounded'), escapeForTerminal(one.detail), theme.width));
  lines.push(...findingLines(image.findings, theme));
  if (view.explain && image.commitment !== null && image.components.length > 0) {
    lines.push('', '  The commitment is made of:', ...sumLines(image.components, image.commitment, theme.width));
  }
  return lines;
}

const IN_USE = 'open for writing: the figures lag until the writer flushes';

const SOURCE_WORDS = {
  declared: 'as declared',
  signature: 'by its signature',
  guess: 'a guess: the file has no signature; declare the format with -f',
} as const;

function formatText(image: ImageReport): string {
  const source = image.formatSource === null ? [] : [`(${SOURCE_WORDS[image.formatSource]})`];
  const details = detailsText(image.details);
  return [escapeForTerminal(image.format ?? ''), ...source].join(' ') + (details === '' ? '' : `: ${details}`);
}

function figureLines(image: ImageReport, width: number): string[] {
  const rows: [string, number | null][] = [
    ['capacity', image.capacity],
    ['length', image.length],
    ['allocation', image.allocation],
    ['commitment', image.commitment],
    ['expected', image.expected],
    ['residual', image.residual],
    ['max length', image.maxLength],
  ];
  const known = rows.filter(([, bytes]) => bytes !== null);
  if (known.length === 0) return [];
  return rows.map(([name, bytes]) =>
    figureLine(name, bytes, width, name === 'commitment' && image.method === 'stat' ? '  (from stat alone)' : ''),
  );
}

/**
 * `  capacity           40 GiB      42,949,672,960`; a figure that is not known says so. Where a line is too narrow
 * the exact count gives way, then the note (which a finding tells as well).
 */
export function figureLine(name: string, bytes: number | null, width: number, note = ''): string {
  if (bytes === null) return `${label(name)}${padStart('unknown', 11)}`;
  const rounded = `${label(name)}${padStart(formatBytes(bytes), 11)}`;
  const exact = padStart(formatExact(bytes), 22);
  return [rounded + exact + note, rounded + note].find((line) => line.length <= width) ?? rounded;
}

function snapshotText(bytes: number): string {
  return `one more internal snapshot would add up to ${formatBytes(bytes)} (${formatExact(bytes)}) to the commitment`;
}

function linkText(link: ChainLink): string {
  const place = link.path ?? link.name;
  const format = link.format ?? link.declaredFormat;
  const figures = [
    link.capacity === null ? [] : [`capacity ${formatBytes(link.capacity)}`],
    link.allocation === null ? [] : [`allocation ${formatBytes(link.allocation)}`],
    link.commitment === undefined ? [] : [`commitment ${formatBytes(link.commitment)}`],
  ].flat();
  const facts = [...(format === null ? [] : [escapeForTerminal(format)]), ...figures];
  const state =
    link.status === 'opened'
      ? ''
      : ` — ${LINK_WORDS[link.status]}${link.reason === undefined ? '' : `: ${escapeForTerminal(link.reason)}`}`;
  return `${escapeForTerminal(place)}${facts.length > 0 ? ` (${facts.join(', ')})` : ''}${state}`;
}

const LINK_WORDS = { refused: 'not opened', missing: 'does not exist', error: 'cannot be read' } as const;

function label(text: string): string {
  return `  ${padEnd(text, LABEL_COLUMN)}`;
}
