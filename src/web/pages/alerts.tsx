/** Active alerts, and the moves that would clear them. */
import type { JSX } from 'preact';
import { alerts, stores } from '../data/state.ts';
import { AlertList } from '../parts/alerts.tsx';
import { StoreLink } from '../parts/link.tsx';
import { Moves } from '../parts/moves.tsx';
import { Heading } from '../parts/heading.tsx';
import { Empty } from '../parts/text.tsx';

export function AlertsPage(): JSX.Element {
  const troubled = stores.value.filter(
    (store) => store.presence === 'present' && (store.alerts.length > 0 || (store.sum.remaining ?? 0) < 0),
  );
  return (
    <>
      <Heading>Alerts and moves</Heading>
      {alerts.value.length === 0 ? <Empty>No active alerts.</Empty> : <AlertList alerts={alerts.value} />}
      {troubled.map((store) => (
        <section class="panel" key={store.id}>
          <h2>
            Images to move off <StoreLink id={store.id} />
          </h2>
          <Moves store={store} />
        </section>
      ))}
    </>
  );
}
