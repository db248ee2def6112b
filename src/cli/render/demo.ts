/** Renders the demonstration store: the table of figures, and the purpose of each image. */
import { escapeForTerminal, formatBytes } from '#base';
import type { ScannedImage, ScanReport } from '#wire';
import { padEnd, padStart, wrapAfter } from './text.ts';
import type { Theme } from './theme.ts';

export interface DemoFacts {
  readonly directory: string;
  readonly lessons: readonly { readonly name: string; readonly text: string }[];
  readonly notes: readonly string[];
}

const FIGURES = ['capacity', 'length', 'allocation', 'commitment'] as const;
const GAP = '  ';

export function demoLines(demo: DemoFacts, report: ScanReport, theme: Theme): string[] {
  const images = new Map(report.stores.flatMap((store) => store.images.map((image) => [fileName(image.path), image])));
  const nameColumn = Math.max(...demo.lessons.map(({ name }) => name.length));
  return [
    theme.paint('strong', `A demonstration store in ${escapeForTerminal(demo.directory)}`),
    '',
    ...tableLines(demo, images, nameColumn, theme),
    '',
    'What each image shows:',
    ...demo.lessons.flatMap(({ name, text }) => wrapAfter(`  ${padEnd(name, nameColumn)}  `, text, theme.width)),
    ...demo.notes.flatMap((note) => ['', ...wrapAfter('', note, theme.width)]),
  ];
}

function tableLines(demo: DemoFacts, images: ReadonlyMap<string, ScannedImage>, nameColumn: number, theme: Theme): string[] {
  const rows = demo.lessons.map(({ name }) => FIGURES.map((figure) => bytesText(images.get(name)?.[figure] ?? null)));
  const widths = FIGURES.map((figure, index) => Math.max(figure.length, ...rows.map((row) => row[index]?.length ?? 0)));
  const line = (name: string, cells: readonly string[]): string =>
    `  ${[padEnd(name, nameColumn), ...cells.map((cell, index) => padStart(cell, widths[index] ?? 0))].join(GAP)}`;
  const head = line(
    'IMAGE',
    FIGURES.map((figure) => figure.toUpperCase()),
  );
  return [theme.paint('faint', head), ...demo.lessons.map(({ name }, index) => line(name, rows[index] ?? []))];
}

function bytesText(bytes: number | null): string {
  return bytes === null ? '?' : formatBytes(bytes);
}

function fileName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
