/** One store: its hull, the capacity calculation, the forecast, its history, moves and images. */
import type { JSX } from 'preact';
import type { Outlook, StoreView } from '#wire';
import { isInformed, storeOf } from '../data/state.ts';
import { describeGrowth, describeOutlook } from '../view/durations.ts';
import { verdictOf } from '../view/verdict.ts';
import { AlertList } from '../parts/alerts.tsx';
import { Findings } from '../parts/findings.tsx';
import { HullDrawing, HullLegend } from '../parts/hull.tsx';
import { ImageTable } from '../parts/image-table.tsx';
import { Link } from '../parts/link.tsx';
import { Moves } from '../parts/moves.tsx';
import { SumTable } from '../parts/sum-table.tsx';
import { Badge, Empty, Name, Term } from '../parts/text.tsx';
import { StoreTrend } from '../parts/trend.tsx';
import { Heading } from '../parts/heading.tsx';
import { ScanAge } from './stores.tsx';

export function StorePage({ id }: { readonly id: string }): JSX.Element {
  const store = storeOf(id);
  if (store === undefined) {
    return (
      <>
        <Heading>Store</Heading>
        <Empty>{isInformed.value ? 'Store not found.' : 'Loading stores…'}</Empty>
      </>
    );
  }
  return <KnownStore store={store} />;
}

function KnownStore({ store }: { readonly store: StoreView }): JSX.Element {
  const verdict = verdictOf(store);
  const notes = store.findings.filter(({ level }) => level === 'info');
  return (
    <>
      <header class="title">
        <Heading>
          <Name name={store.mount} />
        </Heading>
        <Badge tone={verdict.tone} word={verdict.word} />
      </header>
      <p class="verdict">{verdict.sentence}</p>
      {store.alerts.length === 0 ? null : <AlertList alerts={store.alerts} />}
      <Findings findings={store.findings.filter(({ level }) => level !== 'info')} />
      <div class="columns">
        <section class={`panel store ${verdict.tone} ${store.presence}`} aria-labelledby="hull">
          <h2 id="hull">The hull</h2>
          <div class="anatomy large">
            <HullDrawing store={store} />
            <HullLegend store={store} />
          </div>
          <p class="facts">
            <span>{store.type}</span> <code>{store.id}</code> <ScanAge store={store} />
          </p>
        </section>
        <section class="panel" aria-labelledby="sum">
          <h2 id="sum">Capacity calculation</h2>
          <SumTable sum={store.sum} caption="Current state" />
          <p>
            <Link to={{ page: 'admission', store: store.id }}>Would a new image fit?</Link>
          </p>
        </section>
        <section class="panel" aria-labelledby="forecast">
          <h2 id="forecast">Forecast</h2>
          <ForecastTable store={store} />
        </section>
      </div>
      <section class="panel" aria-labelledby="trend">
        <h2 id="trend">Trend</h2>
        <StoreTrend store={store} key={store.id} />
      </section>
      <section aria-labelledby="images">
        <h2 id="images">Images</h2>
        <ImageTable store={store.id} caption="Images of this store; highest risk first, unless sorted otherwise" key={store.id} />
      </section>
      <section class="panel" aria-labelledby="moves">
        <h2 id="moves">Moves</h2>
        <Moves store={store} key={store.id} />
      </section>
      {notes.length === 0 ? null : (
        <section aria-labelledby="notes">
          <h2 id="notes">Notes</h2>
          <Findings findings={notes} />
        </section>
      )}
    </>
  );
}

function ForecastTable({ store }: { readonly store: StoreView }): JSX.Element {
  const { growth, toWarning, toCritical, toFloor, toFull } = store.forecast;
  const rows: readonly (readonly [string, Outlook])[] = [
    ['Warning level', toWarning],
    ['Critical level', toCritical],
    ['Space down to the floor', toFloor],
    ['Out of space', toFull],
  ];
  return (
    <table class="sum">
      <caption>
        <Term word="growth rate">Growth</Term> a day: {describeGrowth(growth)}
        {growth.unknown === null ? null : <small>{growth.unknown}</small>}
      </caption>
      <thead>
        <tr>
          <th scope="col">Reached</th>
          <th scope="col">When</th>
        </tr>
      </thead>
      <tbody>
        {rows.map(([label, outlook]) => (
          <tr key={label}>
            <th scope="row">{label}</th>
            <td>
              {describeOutlook(outlook)}
              {outlook.reason === null || outlook.reason === growth.unknown ? null : <small>{outlook.reason}</small>}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
