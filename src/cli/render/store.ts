/** Renders a scan: for each store its sums, the verdict, the images in order of risk, and the findings. */
import { escapeForTerminal, formatBytes, formatExact } from '#base';
import type { ScanReport, StoreReport } from '#wire';
import { groupedFindingLines } from './grouped-findings.ts';
import { commonDirectory, imageTable } from './image-table.ts';
import { padEnd, padStart, wrap, wrapAfter } from './text.ts';
import type { Theme } from './theme.ts';
import { isUpperBound, verdict } from './verdict.ts';

export interface ScanView {
  /** Rows of the table of images. */
  readonly limit: number;
}

export function scanLines(report: ScanReport, theme: Theme, view: ScanView): string[] {
  const blocks = report.stores.map((store) => storeLines(store, theme, view));
  if (report.errors.length > 0) blocks.push(errorLines(report, theme));
  if (report.stores.length === 0 && report.errors.length === 0) blocks.push(['No directory was scanned.']);
  return blocks.flatMap((block, index) => (index === 0 ? block : ['', ...block]));
}

export function storeLines(store: StoreReport, theme: Theme, view: ScanView): string[] {
  const { style, text } = verdict(store);
  return [
    ...wrap(headline(store), theme.width).map((line) => theme.paint('strong', line)),
    ...sumLines(store, theme.width),
    '',
    ...wrap(text, theme.width).map((line) => theme.paint(style, line)),
    ...(store.images.length === 0 ? [] : ['', ...imageTable(store, theme, view.limit)]),
    ...groupedFindingLines(store, theme),
  ];
}

function headline(store: StoreReport): string {
  const count = store.images.length === 1 ? '1 image' : `${store.images.length} images`;
  const below = commonDirectory(store.images).slice(0, -1);
  const place = below === '' || below === store.mount ? '' : ` below ${escapeForTerminal(below)}`;
  return `Store ${escapeForTerminal(store.mount)} (${escapeForTerminal(store.type)}), ${count}${place}`;
}

const LABEL_COLUMN = 13;

function sumLines(store: StoreReport, width: number): string[] {
  const rows: [string, number | null, string][] = [
    ['size', store.size, ''],
    ['used', store.used, 'by everything on this store'],
    ['available', store.available, ''],
    ['allocation', store.allocation, 'all images, shared blocks once'],
    ['commitment', store.commitment, 'maximum they can ever use'],
    ['residual', store.residual, store.otherHoles > 0 ? 'worst-case further growth' : 'worst-case further growth'],
    ...(store.otherHoles > 0 ? [['other files', store.otherHoles, 'of the residual, in holes'] as [string, number, string]] : []),
    ...(store.shared > 0 ? [['shared', store.shared, 'by more than one file'] as [string, number, string]] : []),
    ...(store.floor > 0 ? [['floor', store.floor, 'must remain free'] as [string, number, string]] : []),
    ['headroom', store.headroom, headroomNote(store)],
    ...(store.mapExcess > (store.headroom ?? Infinity) && (store.headroom ?? -1) >= 0 ? [MAPS(store.mapExcess)] : []),
  ];
  // On a narrow line the exact counts are dropped first, then the notes.
  const views = [rows.map((row) => sumLine(row, true)), rows.map((row) => sumLine(row, false))];
  const fitting = views.find((lines) => lines.every((line) => line.length <= width));
  return fitting ?? rows.map(([name, bytes]) => sumLine([name, bytes, ''], false));
}

const MAPS = (bytes: number): [string, number, string] => ['maps', bytes, 'more, on adversarial writes'];

function headroomNote(store: StoreReport): string {
  if (store.headroom !== null && isUpperBound(store)) return 'at most: some figures unknown';
  return store.floor > 0 ? 'available - residual - floor' : 'available - residual';
}

function sumLine([name, bytes, note]: readonly [string, number | null, string], isExact: boolean): string {
  const figure = padStart(bytes === null ? 'unknown' : formatBytes(bytes), 11);
  const exact = isExact ? padStart(bytes === null ? '' : formatExact(bytes), 22) : '';
  return `  ${padEnd(name, LABEL_COLUMN)}${figure}${exact}  ${note}`.trimEnd();
}

function errorLines(report: ScanReport, theme: Theme): string[] {
  const lines = report.errors.flatMap((error) =>
    wrapAfter('  ', `${error.path === '' ? "''" : escapeForTerminal(error.path)}: ${escapeForTerminal(error.message)}`, theme.width),
  );
  const head = 'Unknown whether every future guest write fits, because this could not be read:';
  return [...wrap(head, theme.width).map((line) => theme.paint('warning', line)), ...lines];
}
