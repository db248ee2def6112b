/** Reservations: space set aside for images that do not exist yet. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Reservation } from '#wire';
import { send } from '../data/api.ts';
import { useResource } from '../data/resource.ts';
import { announce, nowMs, reservationsEpoch } from '../data/state.ts';
import { describeUntil, formatMoment } from '../view/durations.ts';
import { Link, StoreLink } from '../parts/link.tsx';
import { Heading } from '../parts/heading.tsx';
import { Ago, Bytes, Empty, Name, Path, Problem } from '../parts/text.tsx';

export function ReservationsPage(): JSX.Element {
  const [hasEnded, setEnded] = useState(false);
  const { value, error } = useResource<readonly Reservation[]>(`reservations?ended=${hasEnded}`, reservationsEpoch.value);
  return (
    <>
      <Heading>Reservations</Heading>
      <label class="check">
        <input type="checkbox" checked={hasEnded} onChange={(event) => setEnded(event.currentTarget.checked)} />
        Show ended reservations
      </label>
      {error === undefined ? null : <Problem error={error} />}
      {value === undefined ? null : <ReservationTable reservations={value} />}
    </>
  );
}

const HEADS = ['Key', 'Store', 'Reserved', 'For', 'Created', 'Ends', 'State'];

function ReservationTable({ reservations }: { readonly reservations: readonly Reservation[] }): JSX.Element {
  if (reservations.length === 0) {
    return (
      <Empty>
        No reservations. <Link to={{ page: 'admission', store: '' }}>Check whether an image fits</Link> and reserve its space.
      </Empty>
    );
  }
  return (
    <table class="cards" role="table">
      <caption>Space reserved for images that do not exist yet</caption>
      <thead role="rowgroup">
        <tr role="row">
          {HEADS.map((head) => (
            <th scope="col" role="columnheader" key={head} class={head === 'Reserved' ? 'number' : undefined}>
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {reservations.map((one) => (
          <Row key={`${one.key} ${one.createdAt}`} reservation={one} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ reservation }: { readonly reservation: Reservation }): JSX.Element {
  const expiresMs = Date.parse(reservation.expiresAt);
  return (
    <tr role="row">
      <th scope="row" role="rowheader">
        <Name name={reservation.key} />
      </th>
      <td role="cell" data-label="Store">
        <StoreLink id={reservation.store} />
      </td>
      <td role="cell" data-label="Reserved" class="number">
        <Bytes bytes={reservation.bytes} />
      </td>
      <td role="cell" data-label="For">
        {reservation.path === null ? 'no path given' : <Path path={reservation.path} />}
      </td>
      <td role="cell" data-label="Created">
        <Ago at={reservation.createdAt} />
      </td>
      <td role="cell" data-label="Ends">
        <time dateTime={reservation.expiresAt} title={formatMoment(expiresMs, nowMs.value)}>
          {reservation.state === 'held' ? describeUntil(expiresMs, nowMs.value) : ''}
        </time>
      </td>
      <td role="cell" data-label="State">
        {reservation.state === 'held' ? <Release reservation={reservation} /> : reservation.state}
      </td>
    </tr>
  );
}

/** Asks for confirmation before the reservation is released. */
function Release({ reservation: { key } }: { readonly reservation: Reservation }): JSX.Element {
  const [isAsked, setAsked] = useState(false);
  const [problem, setProblem] = useState<Error | undefined>(undefined);
  const release = async (): Promise<void> => {
    try {
      await send('DELETE', `reservations/${encodeURIComponent(key)}`);
      announce(`Released: ${key}`);
      reservationsEpoch.value += 1;
    } catch (error) {
      setProblem(error as Error);
    }
  };
  return (
    <>
      {isAsked ? (
        <span class="confirm">
          <button type="button" class="danger" ref={(button) => button?.focus()} onClick={() => void release()}>
            Yes, release
          </button>
          <button type="button" onClick={() => setAsked(false)}>
            Keep
          </button>
        </span>
      ) : (
        <span class="confirm">
          held
          <button type="button" aria-label={`Release ${key}`} onClick={() => setAsked(true)}>
            Release
          </button>
        </span>
      )}
      {problem === undefined ? null : <Problem error={problem} />}
    </>
  );
}
