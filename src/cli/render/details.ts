/** Format-specific facts in a few words; defaults and absent features are omitted. */
import { escapeForTerminal, formatBytes } from '#base';

type Detail = string | number | boolean;

/** Facts with a phrase of their own; all others are shown by name. */
const PHRASES: Readonly<Record<string, (value: Detail) => string>> = {
  clusterSize: (value) => (typeof value === 'number' ? `${formatBytes(value)} clusters` : `cluster size ${value}`),
  grainBytes: (value) => (typeof value === 'number' ? `${formatBytes(value)} grains` : `grains ${value}`),
  blockSize: (value) => (typeof value === 'number' ? `${formatBytes(value)} blocks` : `blocks ${value}`),
  subformat: (value) => String(value),
  refcountBits: (value) => `${value}-bit refcounts`,
  compressionType: (value) => (value === 'zlib' ? '' : `${value} compression`),
};

/** `version 3, 64 KiB clusters, 16-bit refcounts, internal snapshots 2`. */
export function detailsText(details: Readonly<Record<string, Detail>>): string {
  const phrases = Object.entries(details).map(([name, value]) => phraseOf(name, value));
  return phrases
    .filter((phrase) => phrase !== '')
    .map(escapeForTerminal)
    .join(', ');
}

function phraseOf(name: string, value: Detail): string {
  if (value === false || value === 0 || value === 'none' || value === '') return '';
  const own = Object.hasOwn(PHRASES, name) ? PHRASES[name] : undefined;
  if (own !== undefined) return own(value);
  return value === true ? wordsOf(name) : `${wordsOf(name)} ${value}`;
}

/** `internalSnapshots` as `internal snapshots`. */
function wordsOf(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, (_all, before: string, capital: string) => `${before} ${capital.toLowerCase()}`);
}
