/** A chart as a table, for screen readers and for exact figures. */
import type { JSX } from 'preact';
import { formatMoment } from '../view/durations.ts';
import { thin } from '../view/fan.ts';
import { Bytes } from './text.tsx';

const MAX_ROWS = 16;

interface SampleTableChoice<S> {
  readonly label: string;
  readonly samples: readonly S[];
  /** Column headers, each with the figure of its column. */
  readonly columns: readonly (readonly [string, (sample: S) => number | null])[];
}

export function SampleTable<S extends { readonly at: string }>({ label, samples, columns }: SampleTableChoice<S>): JSX.Element | null {
  if (samples.length === 0) return null;
  return (
    <details>
      <summary>Show as a table</summary>
      <div class="scrolls" role="region" aria-label={label} tabIndex={0}>
        <table>
          <caption>History, at most {MAX_ROWS} samples</caption>
          <thead>
            <tr>
              <th scope="col">When</th>
              {columns.map(([head]) => (
                <th scope="col" class="number" key={head}>
                  {head}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {thin(samples, MAX_ROWS).map((one) => (
              <tr key={one.at}>
                <th scope="row">{formatMoment(Date.parse(one.at), Date.now())}</th>
                {columns.map(([head, figure]) => (
                  <td class="number" key={head}>
                    <Bytes bytes={figure(one)} />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
