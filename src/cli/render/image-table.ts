/** The images of a store as a table that fits the line width: paths are shortened, figures never. */
import stringWidth from 'string-width';
import { escapeForTerminal, formatBytes } from '#base';
import type { ScannedImage, StoreReport } from '#wire';
import { padEnd, padStart, shortenMiddle } from './text.ts';
import type { Theme } from './theme.ts';

interface Column {
  readonly title: string;
  readonly text: (image: ScannedImage) => string;
  /** Shown only on lines of at least this width. */
  readonly from: number;
  /** On a line that is too narrow for all columns, those of the lowest rank are dropped first. */
  readonly rank: number;
}

const GAP = '  ';
/** A path shorter than this carries no information. */
const MIN_PATH_WIDTH = 12;

const COLUMNS: readonly Column[] = [
  { title: 'FORMAT', text: formatText, from: 0, rank: 3 },
  { title: 'CAPACITY', text: (image) => bytesText(image.capacity), from: 100, rank: 1 },
  { title: 'ALLOCATION', text: (image) => bytesText(image.allocation), from: 0, rank: 1 },
  { title: 'EXCLUSIVE', text: (image) => bytesText(image.exclusive), from: 112, rank: 1 },
  { title: 'COMMITMENT', text: (image) => bytesText(image.commitment), from: 0, rank: 2 },
  {
    title: 'RESIDUAL',
    text: (image) => (image.neverWritten === null ? bytesText(image.residual) : 'never written'),
    from: 0,
    rank: 4,
  },
];

/** The first `limit` images; the report has them in order of risk. */
export function imageTable(store: StoreReport, theme: Theme, limit: number): string[] {
  const images = store.images.slice(0, limit);
  const columns = fittingColumns(images, theme.width);
  const widths = columns.map((column) => widthOf(column, images));
  const figures = widths.reduce((sum, width) => sum + width + GAP.length, 0);
  const below = commonDirectory(store.images);
  const paths = images.map((image) => escapeForTerminal(image.path.slice(below.length)));
  const longest = Math.max('IMAGE'.length, ...paths.map((path) => stringWidth(path)));
  const pathRoom = Math.min(longest, Math.max(MIN_PATH_WIDTH, theme.width - figures - GAP.length));
  const row = (path: string, cells: readonly string[]): string =>
    `  ${[padEnd(shortenMiddle(path, pathRoom), pathRoom), ...cells.map((cell, index) => padStart(cell, widths[index] ?? 0))].join(GAP)}`;
  const head = row(
    'IMAGE',
    columns.map((column) => column.title),
  );
  const rows = images.map((image, index) => {
    const line = row(
      paths[index] ?? '',
      columns.map((column) => column.text(image)),
    );
    return image.error === undefined ? line : theme.paint('danger', line);
  });
  const hidden = store.images.length - images.length;
  return [theme.paint('faint', head), ...rows, ...(hidden > 0 ? [`  ... and ${hidden} more`] : [])];
}

/** The columns that leave space for a path. */
function fittingColumns(images: readonly ScannedImage[], width: number): readonly Column[] {
  const columns = COLUMNS.filter((column) => width >= column.from);
  const needed = (): number => columns.reduce((sum, column) => sum + GAP.length + widthOf(column, images), GAP.length + MIN_PATH_WIDTH);
  while (columns.length > 1 && needed() > width) {
    const least = Math.min(...columns.map(({ rank }) => rank));
    columns.splice(
      columns.findIndex(({ rank }) => rank === least),
      1,
    );
  }
  return columns;
}

function widthOf(column: Column, images: readonly ScannedImage[]): number {
  return Math.max(column.title.length, ...images.map((image) => column.text(image).length));
}

function formatText(image: ScannedImage): string {
  return `${image.format ?? '?'}${image.formatSource === 'guess' ? '?' : ''}`;
}

function bytesText(bytes: number | null): string {
  return bytes === null ? '?' : formatBytes(bytes);
}

/** The directory that contains all images, with its slash; empty if that is the root. */
export function commonDirectory(images: readonly ScannedImage[]): string {
  const [first = [], ...others] = images.map((image) => image.path.split('/').slice(0, -1));
  const shared = others.reduce((common, steps) => {
    const parting = common.findIndex((step, depth) => step !== steps[depth]);
    return parting < 0 ? common : common.slice(0, parting);
  }, first);
  return shared.some((step) => step !== '') ? `${shared.join('/')}/` : '';
}
