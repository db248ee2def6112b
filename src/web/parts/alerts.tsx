/** Active alerts and their durations. */
import { escapeForTerminal } from '#base';
import type { JSX } from 'preact';
import type { Alert } from '#wire';
import { nowMs } from '../data/state.ts';
import { formatDuration } from '../view/durations.ts';
import { StoreLink } from './link.tsx';
import { Badge } from './text.tsx';

export function AlertList({ alerts }: { readonly alerts: readonly Alert[] }): JSX.Element {
  return (
    <ul class="alerts">
      {alerts.map((alert, index) => (
        <li key={index} class={alert.level}>
          <Badge tone={alert.level === 'critical' ? 'danger' : 'warning'} word={alert.level === 'critical' ? 'Critical' : 'Warning'} />
          <StoreLink id={alert.store} />
          <span class="message">{escapeForTerminal(alert.message)}</span>
          <span class="since">
            by {alert.by.join(' and ')}, for{' '}
            <time dateTime={alert.since}>{formatDuration((nowMs.value - Date.parse(alert.since)) / 1000)}</time>
          </span>
        </li>
      ))}
    </ul>
  );
}
