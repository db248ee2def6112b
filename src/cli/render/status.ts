/** Renders the monitored stores. */
import { escapeForTerminal } from '#base';
import type { Level, Outlook, PolicySum, StatusReport, StoreView } from '#wire';
import { findingLines, markedLines } from './findings.ts';
import { figureLine } from './image.ts';
import { wrapAfter } from './text.ts';
import type { Style, Theme } from './theme.ts';

const STYLES: Readonly<Record<Level, Style>> = { ok: 'good', warning: 'warning', critical: 'danger', unknown: 'warning' };
const LABEL = '  '.padEnd(18);

export function statusLines(report: StatusReport, theme: Theme): string[] {
  const head = `plimsoll ${report.version}, since ${report.startedAt}`;
  return [head, ...findingLines(report.findings, theme), ...report.stores.flatMap((store) => ['', ...storeLines(store, theme)])];
}

function storeLines(store: StoreView, theme: Theme): string[] {
  const { width } = theme;
  const counts = `${store.imageCount} ${store.imageCount === 1 ? 'image' : 'images'}${store.unreadableCount > 0 ? `, ${store.unreadableCount} unreadable` : ''}`;
  const state = store.presence === 'vanished' ? 'vanished' : levelText(store);
  const title = `${escapeForTerminal(store.mount)} (${escapeForTerminal(store.type)}), ${counts}: `;
  return [
    theme.paint('strong', title) + theme.paint(STYLES[store.presence === 'vanished' ? 'critical' : store.level], state),
    ...wrapAfter(label('store'), escapeForTerminal(store.id), width),
    ...wrapAfter(label('directories'), escapeForTerminal(store.directories.join(', ')), width),
    figureLine('size', store.size, width),
    figureLine('available', store.available, width),
    figureLine('allocation', store.allocation, width),
    figureLine('residual', store.residual, width),
    figureLine('reserved', store.reserved, width),
    figureLine('floor', store.floor, width),
    remainingLine(store.sum, width),
    ...wrapAfter(label('full'), outlookText(store.forecast.toFull), width),
    ...wrapAfter(label('last scan'), store.scannedAt ?? 'none yet: the initial scan is in progress', width),
    ...store.alerts.flatMap((alert) =>
      markedLines(alert.level === 'critical' ? 'critical' : 'warning', escapeForTerminal(alert.message), theme),
    ),
    ...findingLines(store.findings, theme),
  ];
}

/** The calculation may be known while the forecast is not. */
function levelText({ level, sum: { remaining, unknown } }: StoreView): string {
  return level === 'unknown' && unknown === null && remaining !== null && remaining >= 0 ? 'fits now; growth not known yet' : level;
}

/** A word is read faster than a sign. */
function remainingLine({ remaining, policy }: PolicySum, width: number): string {
  const isShort = remaining !== null && remaining < 0;
  return figureLine(isShort ? 'shortfall' : 'remaining', isShort ? -remaining : remaining, width, `  under the policy ${policy}`);
}

function label(name: string): string {
  return `  ${name}`.padEnd(LABEL.length);
}

function outlookText({ outcome, earliest, latest, reason }: Outlook): string {
  if (outcome === 'reached') return 'now';
  if (outcome === 'never') return 'never, even if every image is filled';
  if (outcome === 'unknown') return escapeForTerminal(`unknown: ${reason ?? 'no reason given'}`);
  const texts = [
    earliest === null ? [] : [`in ${spanText(earliest)} at the earliest`],
    latest === null ? [] : [`in ${spanText(latest)} at the latest`],
  ].flat();
  return texts.length === 0 ? 'not at the observed growth' : texts.join(', ');
}

function spanText(seconds: number): string {
  const units = [
    [86_400, 'days'],
    [3600, 'hours'],
    [60, 'minutes'],
  ] as const;
  const unit = units.find(([length]) => seconds >= 2 * length);
  return unit === undefined ? `${Math.floor(seconds)} seconds` : `${Math.floor(seconds / unit[0])} ${unit[1]}`;
}
