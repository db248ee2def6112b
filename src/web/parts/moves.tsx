/** The images to move off a store so that it fits again. */
import { escapeForTerminal } from '#base';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Move, MovePlan, StoreView } from '#wire';
import { useResource } from '../data/resource.ts';
import { stores } from '../data/state.ts';
import { Link } from './link.tsx';
import { Bytes, Empty, Name, Path, Problem } from './text.tsx';

export function Moves({ store }: { readonly store: StoreView }): JSX.Element {
  const [target, setTarget] = useState('');
  const suffix = target === '' ? '' : `?target=${encodeURIComponent(target)}`;
  const epoch = Date.parse(store.scannedAt ?? '') || 0;
  const { value, error } = useResource<MovePlan>(`stores/${encodeURIComponent(store.id)}/moves${suffix}`, epoch);
  const targets = stores.value.filter(({ id, presence }) => id !== store.id && presence === 'present');
  return (
    <div class="moves">
      {targets.length === 0 ? null : (
        <label>
          Move to
          <select value={target} onChange={(event) => setTarget(event.currentTarget.value)}>
            <option value="">no target selected</option>
            {targets.map(({ id, mount }) => (
              <option key={id} value={id}>
                {escapeForTerminal(mount)}
              </option>
            ))}
          </select>
        </label>
      )}
      {error === undefined ? null : <Problem error={error} />}
      {value === undefined ? null : <Plan plan={value} />}
    </div>
  );
}

function Plan({ plan }: { readonly plan: MovePlan }): JSX.Element {
  return (
    <>
      <p>
        {plan.shortfall === null ? 'Shortfall unknown. ' : null}
        {plan.shortfall === 0 ? 'No moves needed. ' : null}
        {plan.shortfall !== null && plan.shortfall > 0 ? (
          <>
            Shortfall now: <Bytes bytes={plan.shortfall} />; after all moves:{' '}
            {plan.shortfallAfter === 0 ? 'nothing' : <Bytes bytes={plan.shortfallAfter} />}.{' '}
          </>
        ) : null}
        {plan.remark === null ? null : escapeForTerminal(plan.remark)}
      </p>
      {plan.moves.length === 0 ? (
        plan.shortfall === 0 ? null : (
          <Empty>No beneficial move.</Empty>
        )
      ) : (
        <ol class="plan">
          {plan.moves.map((move, index) => (
            <MoveItem key={index} move={move} />
          ))}
        </ol>
      )}
    </>
  );
}

function MoveItem({ move }: { readonly move: Move }): JSX.Element {
  return (
    <li>
      <ul class="moved">
        {move.images.map(({ id, path }) => (
          <li key={id}>
            <Link to={{ page: 'image', id }}>
              <Path path={path} />
            </Link>
          </li>
        ))}
      </ul>
      <p>
        {move.machine === null ? null : (
          <>
            VM <Name name={move.machine} />.{' '}
          </>
        )}
        Copies <Bytes bytes={move.copied} />, frees <Bytes bytes={move.freed} />, relieves by <Bytes bytes={move.relief} />
        {move.remainingOnTarget === null ? null : (
          <>
            ; remaining on the target: <Bytes bytes={move.remainingOnTarget} />
          </>
        )}
        .
      </p>
      <p class="reason">{escapeForTerminal(move.reason)}</p>
    </li>
  );
}
