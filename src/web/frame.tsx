/** The frame around every page: header, navigation, connection state, announcements for screen readers. */
import { escapeForTerminal } from '#base';
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { keepToken, keptToken } from './data/token.ts';
import { retryNow, stayConnected } from './data/live.ts';
import { alerts, announcement, connection, lastHeardMs, nowMs, route } from './data/state.ts';
import { Field } from './parts/field.tsx';
import { Glossary } from './parts/text.tsx';
import { Tooltip } from './parts/tooltip.tsx';
import { chooseTheme, type Theme, THEMES, theme } from './theme.ts';
import { describeAge, formatDuration } from './view/durations.ts';
import { Heading } from './parts/heading.tsx';
import { hrefOf, type Route } from './view/route.ts';

export function Frame({ children }: { readonly children: ComponentChildren }): JSX.Element {
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  const address = hrefOf(route.value);
  useEffect(() => {
    // A new page starts at its top, also for the keyboard.
    if (!isFirst.current) {
      main.current?.focus();
      scrollTo(0, 0);
    }
    isFirst.current = false;
  }, [address]);
  const isStale = connection.value.state === 'lost';
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to content
      </a>
      <Head />
      <Banner />
      <main id="main" ref={main} tabIndex={-1} class={isStale ? 'stale' : undefined}>
        {connection.value.state === 'locked' ? <TokenForm /> : children}
      </main>
      <footer class="page">
        <Glossary />
      </footer>
      <Announcements />
      <Tooltip />
    </>
  );
}

const PAGES: readonly (readonly [string, Route, readonly Route['page'][]])[] = [
  ['Stores', { page: 'stores' }, ['stores', 'store']],
  ['Images', { page: 'images', search: '' }, ['images', 'image', 'find']],
  ['Admission', { page: 'admission', store: '' }, ['admission']],
  ['Reservations', { page: 'reservations' }, ['reservations']],
  ['Alerts', { page: 'alerts' }, ['alerts']],
];

function Head(): JSX.Element {
  const count = alerts.value.length;
  return (
    <header class="page">
      <a class="brand" href="#/">
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <circle cx="16" cy="16" r="9" />
          <path d="M2 16h28" />
        </svg>
        plimsoll
      </a>
      <nav aria-label="Pages">
        <ul>
          {PAGES.map(([label, to, pages]) => (
            <li key={label}>
              <a href={hrefOf(to)} aria-current={pages.includes(route.value.page) ? 'page' : undefined}>
                {label}
                {to.page === 'alerts' && count > 0 ? <span class="count">{count}</span> : null}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <Pulse />
      <ThemeChoice />
    </header>
  );
}

function ThemeChoice(): JSX.Element {
  return (
    <label class="theme">
      <span>Theme</span>
      <select value={theme.value} onChange={(event) => chooseTheme(event.currentTarget.value as Theme)}>
        {THEMES.map((one) => (
          <option key={one} value={one}>
            {one}
          </option>
        ))}
      </select>
    </label>
  );
}

const STATES = { connecting: 'connecting', live: 'live', lost: 'connection lost', locked: 'locked' } as const;

function Pulse(): JSX.Element {
  const { state } = connection.value;
  return (
    <span class={`pulse ${state}`}>
      <span aria-hidden="true" />
      {STATES[state]}
    </span>
  );
}

function Banner(): JSX.Element | null {
  const { value } = connection;
  if (value.state !== 'lost') return null;
  const wait = Math.ceil((value.retryAtMs - nowMs.value) / 1000);
  return (
    <div class="banner">
      <p role="alert">{value.message}. Data may be out of date.</p>
      <p>
        Last contact {describeAge(lastHeardMs.value, nowMs.value)}; {wait > 0 ? `next attempt in ${formatDuration(wait)}` : 'retrying'}.{' '}
        <button type="button" onClick={retryNow}>
          Retry now
        </button>
      </p>
    </div>
  );
}

/** Two live regions for screen readers: one polite, one assertive. */
function Announcements(): JSX.Element {
  const { text, isUrgent, count } = announcement.value;
  const said = <span key={count}>{escapeForTerminal(text)}</span>;
  return (
    <div class="visually-hidden">
      <div aria-live="polite">{isUrgent ? null : said}</div>
      <div aria-live="assertive">{isUrgent ? said : null}</div>
    </div>
  );
}

function TokenForm(): JSX.Element {
  const [token, setToken] = useState('');
  const wrong = keptToken() !== null ? 'Invalid token' : undefined;
  return (
    <form
      class="panel narrow"
      onSubmit={(event) => {
        event.preventDefault();
        keepToken(token.trim());
        connection.value = { state: 'connecting' };
        void stayConnected();
      }}
    >
      <Heading>Token required</Heading>
      <p>
        <code>plimsoll serve</code> prints the path of the file that contains it: <code>token</code> in its state directory, or the{' '}
        <code>token_file</code> of its configuration.
      </p>
      <Field label="Token" hint="Kept until this tab is closed; sent only to this server" wrong={wrong}>
        {(ties) => (
          <input {...ties} type="password" autoComplete="off" value={token} onInput={(event) => setToken(event.currentTarget.value)} />
        )}
      </Field>
      <button type="submit" class="primary">
        Open
      </button>
    </form>
  );
}
