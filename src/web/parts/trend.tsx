/** The trend of a store: history and forecast as a chart, as a sentence and as a table. */
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import type { StoreSample, StoreView } from '#wire';
import { useResource } from '../data/resource.ts';
import { nowMs } from '../data/state.ts';
import { promisedOf, summarizeTrend, type Trend, trendOf } from '../view/fan.ts';
import { Chart, type Line } from './chart.tsx';
import { SampleTable } from './sample-table.tsx';
import { Problem } from './text.tsx';

const HOUR_MS = 3_600_000;
const RANGES = [
  ['1 hour', HOUR_MS],
  ['24 hours', 24 * HOUR_MS],
  ['7 days', 7 * 24 * HOUR_MS],
  ['30 days', 30 * 24 * HOUR_MS],
  ['1 year', 365 * 24 * HOUR_MS],
] as const;
const POINTS = 400;
const COLUMNS: readonly (readonly [string, (sample: StoreSample) => number | null])[] = [
  ['Used', (one) => one.size - one.available],
  ['Of which images', (one) => one.allocation],
  ['Every image filled', promisedOf],
  ['Size', (one) => one.size],
];
/** Maximum age in ms of a chart before its data is fetched again. */
const REFRESH_MS = 60_000;

export function StoreTrend({ store }: { readonly store: StoreView }): JSX.Element {
  const [rangeMs, setRange] = useState<number>(() => defaultRange(store));
  const minute = Math.floor(nowMs.value / REFRESH_MS);
  const toMs = minute * REFRESH_MS + REFRESH_MS;
  const path = `stores/${encodeURIComponent(store.id)}/history?from=${toMs - rangeMs}&to=${toMs}&points=${POINTS}`;
  const { value, error } = useResource<readonly StoreSample[]>(path);
  const samples = value ?? [];
  const trend = useMemo(() => trendOf(samples, store, Date.now(), rangeMs), [value, store, rangeMs]);
  const lines = useMemo(() => linesOf(trend), [trend]);
  return (
    <figure class="trend">
      <RangeChoice value={rangeMs} onChoose={setRange} />
      {error === undefined ? null : <Problem error={error} />}
      <Chart at={trend.at} lines={lines} label={`Trend of ${store.mount}. ${summarizeTrend(samples, store, Date.now())}`} />
      <figcaption>{summarizeTrend(samples, store, Date.now())}</figcaption>
      <SampleTable label="History of the store" samples={samples} columns={COLUMNS} />
    </figure>
  );
}

const MAX_DEFAULT_RANGE_MS = 7 * 24 * HOUR_MS;

/** The shortest that contains the whole history, up to a week: over a longer one the samples of a young history are too sparse. */
function defaultRange({ forecast: { growth } }: StoreView): number {
  const found = RANGES.find(([, rangeMs]) => rangeMs >= growth.spanSeconds * 1000);
  return Math.min(found?.[1] ?? MAX_DEFAULT_RANGE_MS, MAX_DEFAULT_RANGE_MS);
}

function linesOf(trend: Trend): Line[] {
  const lines = [
    { label: 'size', values: trend.size, color: '--ink-2', width: 1 },
    { label: 'load line', values: trend.loadLine, color: '--danger', dash: [8, 4] },
    { label: 'every image filled', values: trend.promised, color: '--promised', dash: [3, 3], width: 1.5 },
    { label: 'used', values: trend.used, color: '--accent', width: 2.5 },
    { label: 'of which images', values: trend.allocation, color: '--cargo-others-line', width: 1.5 },
    { label: 'forecast, fast', values: trend.high, color: '--accent', width: 1, dash: [2, 3], isFanTop: true },
    { label: 'forecast, slow', values: trend.low, color: '--accent', width: 1, dash: [2, 3] },
  ];
  return trend.noFan === null ? lines : lines.filter(({ values }) => values !== trend.high && values !== trend.low);
}

export function RangeChoice({ value, onChoose }: { readonly value: number; readonly onChoose: (rangeMs: number) => void }): JSX.Element {
  return (
    <fieldset class="ranges">
      <legend>Period</legend>
      {RANGES.map(([label, rangeMs]) => (
        <button type="button" key={label} aria-pressed={rangeMs === value} onClick={() => onChoose(rangeMs)}>
          {label}
        </button>
      ))}
    </fieldset>
  );
}
