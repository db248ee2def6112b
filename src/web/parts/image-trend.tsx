/** The history of an image, as a chart and as a table. */
import { escapeForTerminal } from '#base';
import type { JSX } from 'preact';
import type { ImageSample, ImageView } from '#wire';
import { useResource } from '../data/resource.ts';
import { nowMs } from '../data/state.ts';
import { Chart } from './chart.tsx';
import { SampleTable } from './sample-table.tsx';
import { Empty, Problem } from './text.tsx';

const DAY_MS = 24 * 3_600_000;
/** Retention of the finest samples of images; a young history lies within. */
const FINEST_MS = 2 * DAY_MS;
const PAST_MS = 30 * DAY_MS;
const POINTS = 300;
const COLUMNS: readonly (readonly [string, (sample: ImageSample) => number | null])[] = [
  ['Length', (one) => one.length],
  ['Allocation', (one) => one.allocation],
  ['Commitment', (one) => one.commitment],
];

export function ImageTrend({ image }: { readonly image: ImageView }): JSX.Element {
  const pastMs = image.growth.spanSeconds * 1000 < FINEST_MS ? FINEST_MS : PAST_MS;
  const toMs = Math.ceil(nowMs.value / 60_000) * 60_000;
  const path = `images/${encodeURIComponent(image.id)}/history?from=${toMs - pastMs}&to=${toMs}&points=${POINTS}`;
  const { value, error } = useResource<readonly ImageSample[]>(path);
  const samples = untilNow(value ?? [], image, nowMs.value);
  return (
    <section class="panel" aria-labelledby="past">
      <h2 id="past">The last {pastMs / DAY_MS} days</h2>
      {error === undefined ? null : <Problem error={error} />}
      {samples.length < 2 ? (
        <Empty>{value === undefined ? 'Loading history…' : 'The history is too short to draw: fewer than two samples.'}</Empty>
      ) : (
        <figure class="trend">
          <ImageChart image={image} samples={samples} />
          <SampleTable label="History of the image" samples={samples} columns={COLUMNS} />
        </figure>
      )}
    </section>
  );
}

/** The history and the current state of the image, so that the chart stays current. */
function untilNow(past: readonly ImageSample[], { length, allocation, commitment }: ImageView, atMs: number): readonly ImageSample[] {
  const before = past.filter(({ at }) => Date.parse(at) < atMs);
  return allocation === null ? before : [...before, { at: new Date(atMs).toISOString(), length, allocation, commitment }];
}

function ImageChart({ image, samples }: { readonly image: ImageView; readonly samples: readonly ImageSample[] }): JSX.Element {
  const lines = [
    { label: 'commitment', values: samples.map((one) => one.commitment), color: '--promised', dash: [3, 3], width: 1.5 },
    { label: 'length', values: samples.map((one) => one.length), color: '--ink-2', width: 1 },
    { label: 'allocation', values: samples.map((one) => one.allocation), color: '--accent', width: 2.5 },
  ];
  return (
    <Chart
      at={samples.map((one) => Date.parse(one.at) / 1000)}
      lines={lines}
      label={`History of ${escapeForTerminal(image.path)}; the same data as a table below`}
    />
  );
}
