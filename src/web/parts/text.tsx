/** The smallest components: bytes, names, defined words, times, badges. */
import { escapeForTerminal, formatBytes, formatExact } from '#base';
import type { ComponentChildren, JSX } from 'preact';
import { nowMs } from '../data/state.ts';
import { describeAge, formatMoment } from '../view/durations.ts';
import { namePieces, splitPath } from '../view/names.ts';
import type { Tone } from '../view/verdict.ts';
import { definitionId, type Word, WORDS } from '../view/words.ts';

/** A byte count, exact on hover; null is shown as unknown. */
export function Bytes({ bytes, unknown = 'unknown' }: { readonly bytes: number | null; readonly unknown?: string }): JSX.Element {
  if (bytes === null) return <span class="unknown-figure">{unknown}</span>;
  return (
    <data class={bytes < 0 ? 'bytes negative' : 'bytes'} value={String(bytes)} title={`${formatExact(bytes)} bytes`}>
      {bytes < 0 ? `−${formatBytes(-bytes)}` : formatBytes(bytes)}
    </data>
  );
}

/** A word with its definition on hover and on focus. */
export function Term({ word, children }: { readonly word: Word; readonly children?: ComponentChildren }): JSX.Element {
  return (
    <button type="button" class="term" data-definition={word} aria-describedby={definitionId(word)}>
      {children ?? word}
    </button>
  );
}

/** An untrusted name: control characters and the like are escaped, and its text direction is isolated. */
export function Name({ name }: { readonly name: string }): JSX.Element {
  return (
    <bdi class="name">
      {namePieces(name).map(({ text, isEscape }, index) =>
        isEscape ? (
          <span class="escape" key={index}>
            {text}
          </span>
        ) : (
          text
        ),
      )}
    </bdi>
  );
}

/** A path, with the file name emphasized. */
export function Path({ path }: { readonly path: string }): JSX.Element {
  const { folder, name } = splitPath(path);
  return (
    <span class="path" title={escapeForTerminal(path)}>
      <span class="folder">
        <Name name={folder} />
      </span>
      <Name name={name} />
    </span>
  );
}

const SIGNS: Readonly<Record<Tone, string>> = {
  ok: 'M3 8.5l3.2 3.2L13 5',
  warning: 'M8 2l7 12H1zM8 6.5v3.6M8 12v.4',
  danger: 'M5 1.5h6l3.5 3.5v6L11 14.5H5L1.5 11V5zM8 4.5v4.2M8 11v.4',
  unknown: 'M5.5 6a2.5 2.5 0 1 1 3.7 2.2c-.8.5-1.2.9-1.2 2M8 12.6v.4',
};

/** An icon of its own shape for each tone, with the word: never colour alone. */
export function Badge({ tone, word }: { readonly tone: Tone; readonly word: string }): JSX.Element {
  return (
    <span class={`badge ${tone}`}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <path d={SIGNS[tone]} />
      </svg>
      {word}
    </span>
  );
}

/** The age, kept up to date; the exact time on hover. */
export function Ago({ at }: { readonly at: string }): JSX.Element {
  const atMs = Date.parse(at);
  return (
    <time dateTime={at} title={formatMoment(atMs, nowMs.value)}>
      {describeAge(atMs, nowMs.value)}
    </time>
  );
}

/** The definitions of all words; the descriptions of the words on the page refer to it. */
export function Glossary(): JSX.Element {
  return (
    <details class="glossary">
      <summary>Glossary</summary>
      <dl>
        {(Object.entries(WORDS) as [Word, string][]).map(([word, meaning]) => (
          <div key={word}>
            <dt>{word}</dt>
            <dd id={definitionId(word)}>{meaning}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

/** A sentence in place of an empty list. */
export function Empty({ children }: { readonly children: ComponentChildren }): JSX.Element {
  return <p class="empty">{children}</p>;
}

export function Problem({ error }: { readonly error: Error }): JSX.Element {
  return (
    <p class="problem" role="alert">
      {escapeForTerminal(error.message)}
    </p>
  );
}
