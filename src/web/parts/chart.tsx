/** A line chart over time by uPlot, in the colours and the width of the page. */
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { formatBytes } from '#base';
import { formatMoment } from '../view/durations.ts';

export interface Line {
  readonly label: string;
  readonly values: readonly (number | null)[];
  /** The CSS custom property with its colour. */
  readonly color: string;
  readonly width?: number;
  readonly dash?: readonly number[];
  /** Filled down to the next line. */
  readonly isFanTop?: boolean;
}

interface ChartChoice {
  /** Seconds since 1970, ascending. */
  readonly at: readonly number[];
  readonly lines: readonly Line[];
  readonly label: string;
}

const HEIGHT = 300;
const AXIS = 74;

/** The chart is purely visual: its content is also present as text and as a table. */
export function Chart({ at, lines, label }: ChartChoice): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const shape = lines.map((line) => line.label).join();
  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const chart = new uPlot(optionsOf(lines, element.clientWidth), dataOf(at, lines), element);
    plot.current = chart;
    const end = follow(chart, element);
    return () => {
      end();
      chart.destroy();
      plot.current = undefined;
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(dataOf(at, lines)), [at, lines]);
  return <div ref={place} class="chart" role="img" aria-label={label} />;
}

function dataOf(at: readonly number[], lines: readonly Line[]): uPlot.AlignedData {
  return [[...at], ...lines.map((line) => [...line.values])];
}

/** Keeps the chart as wide as its container and in the colours of the current theme. */
function follow(chart: uPlot, element: HTMLElement): () => void {
  const size = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: HEIGHT }));
  size.observe(element);
  const redraw = (): void => chart.redraw(false);
  const dark = matchMedia('(prefers-color-scheme: dark)');
  dark.addEventListener('change', redraw);
  const theme = new MutationObserver(redraw);
  theme.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
  return () => {
    size.disconnect();
    dark.removeEventListener('change', redraw);
    theme.disconnect();
  };
}

function colorOf(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function optionsOf(lines: readonly Line[], width: number): uPlot.Options {
  const top = lines.findIndex((line) => line.isFanTop === true);
  const axis = { stroke: () => colorOf('--ink-2'), grid: { stroke: () => colorOf('--rule'), width: 1 }, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false }, points: { size: 7 } },
    legend: { live: true, markers: { width: 2, dash: (_chart, index) => (lines[index - 1]?.dash === undefined ? 'solid' : 'dashed') } },
    scales: { y: { range: (_chart, _low, high) => [0, Math.max(high, 1) * 1.04] } },
    axes: [
      { ...axis, space: 70, values: (_chart, splits) => splits.map(dayOrHour(splits)) },
      {
        ...axis,
        size: AXIS,
        splits: (_chart, _axis, low, high) => roundSteps(low, high),
        values: (_chart, splits) => splits.map((bytes) => formatBytes(bytes)),
      },
    ],
    series: [
      { label: '', value: (_chart, at: number | null) => (at === null ? '' : formatMoment(at * 1000, Date.now())) },
      ...lines.map((line) => seriesOf(line)),
    ],
    ...(top < 0 ? {} : { bands: [{ series: [top + 1, top + 2] as [number, number], fill: () => colorOf('--fan') }] }),
  };
}

function seriesOf(line: Line): uPlot.Series {
  return {
    label: line.label,
    stroke: () => colorOf(line.color),
    width: line.width ?? 2,
    ...(line.dash === undefined ? {} : { dash: [...line.dash] }),
    points: { show: false },
    value: (_chart, bytes: number | null) => (bytes === null ? '' : formatBytes(Math.round(bytes))),
  };
}

/** Four to six steps of a round number in IEC units. */
function roundSteps(low: number, high: number): number[] {
  const unit = 1024 ** Math.max(0, Math.floor(Math.log2(Math.max(1, high / 2)) / 10));
  const rough = (high - low) / 5 / unit;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((one) => one * power >= rough) ?? 10) * power * unit;
  return Array.from({ length: Math.floor(high / step) + 1 }, (_, index) => index * step);
}

const MINUTE: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit' };
const SECOND: Intl.DateTimeFormatOptions = { ...MINUTE, second: '2-digit' };
const DAY: Intl.DateTimeFormatOptions = { day: 'numeric', month: 'short' };

function dayOrHour(splits: readonly number[]): (at: number) => string {
  const step = (splits[1] ?? 0) - (splits[0] ?? 0);
  const choice = step < 60 ? SECOND : step < 86_400 ? MINUTE : DAY;
  return (at) => new Date(at * 1000).toLocaleString('en-GB', choice);
}
