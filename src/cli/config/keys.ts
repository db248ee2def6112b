/** Every key of the configuration file: what it takes, what it means, what holds without it. All else follows from here. */
import { ASSUMPTIONS } from '#base';
import { POLICIES } from '#wire';
import { LOG_LEVELS } from './log-levels.ts';

/** What a value is, and how it is written. */
export type ValueKind =
  | { readonly is: 'size' | 'duration' | 'percent' | 'share' | 'path' | 'paths' | 'patterns' | 'address' }
  /** The same, or "off". */
  | { readonly is: 'size' | 'duration' | 'percent' | 'path' | 'address'; readonly orOff: true }
  | { readonly is: 'choice' | 'choices'; readonly of: readonly string[] };

export interface Key {
  readonly kind: ValueKind;
  readonly means: string;
  /** What holds where it is not set, as it would be written. */
  readonly default: string;
}

export type Keys = Readonly<Record<string, Key>>;

const SERVE: Keys = {
  listen: {
    kind: { is: 'address', orOff: true },
    means:
      'where HTTP is answered; "auto": at a free port where the usual one is taken; another than a loopback address needs a token_file',
    default: '"127.0.0.1:9464"',
  },
  socket: {
    kind: { is: 'path', orOff: true },
    means: 'the Unix socket that the commands ask',
    default: 'plimsoll.sock in the runtime directory',
  },
  state_directory: {
    kind: { is: 'path' },
    means: 'where reservations and history are kept',
    default: '/var/lib/plimsoll, or one of the user',
  },
  token_file: {
    kind: { is: 'path' },
    means: 'a file with the token that HTTP asks for: a line of 32 characters or more, not readable by others',
    default: 'generated, in the file token of the state directory',
  },
  interval: { kind: { is: 'duration' }, means: 'how often what changed is looked at', default: '"30s"' },
  full_interval: { kind: { is: 'duration' }, means: 'how often everything is read anew', default: '"6h"' },
  log_level: { kind: { is: 'choice', of: LOG_LEVELS }, means: 'the least serious of what is logged', default: '"info"' },
  raw_files: { kind: { is: 'paths' }, means: 'images that are raw, whatever a guest wrote into their first bytes', default: '[]' },
  allow_directories: {
    kind: { is: 'paths' },
    means: 'directories into which references are followed, besides the watched ones',
    default: '[]',
  },
};

const RULES: Keys = {
  policy: { kind: { is: 'choice', of: POLICIES }, means: 'what must fit', default: '"promise"' },
  idle_share: { kind: { is: 'share' }, means: 'the share of the residual that counts under the policy entitled', default: '0.25' },
  floor: { kind: { is: 'size' }, means: 'bytes that must always remain free', default: '"0"' },
  assume: {
    kind: { is: 'choices', of: ASSUMPTIONS },
    means: 'what the administrator declares of what lies below a store',
    default: '[]',
  },
  never_written: {
    kind: { is: 'patterns' },
    means: 'files that nobody writes any more: they count with what they hold; the word backing means the files that overlays use',
    default: '[]',
  },
  exclude: { kind: { is: 'patterns' }, means: 'files and directories that are left out', default: '[]' },
  notice: { kind: { is: 'duration' }, means: 'until trouble is noticed', default: '"1m"' },
  relieve: { kind: { is: 'duration' }, means: 'from then until a move has relieved the store', default: '"30m"' },
};

const level = (percent: string, time: string): Keys => ({
  bytes: { kind: { is: 'size', orOff: true }, means: 'raised with at most so many bytes available above the floor', default: '"off"' },
  percent: { kind: { is: 'percent', orOff: true }, means: 'raised with at most so many percent of the store available', default: percent },
  time: { kind: { is: 'duration', orOff: true }, means: 'raised when the floor can be reached within that time', default: time },
});

const STORE: Keys = {
  directories: { kind: { is: 'paths' }, means: 'the directories whose images are watched; all on one filesystem', default: 'must be set' },
  ...RULES,
};

/** The tables by their headers, `[store]` being an array of tables. */
export const TABLES: Readonly<Record<string, Keys>> = {
  serve: SERVE,
  rules: RULES,
  'rules.warning': level('20', '"24h"'),
  'rules.critical': level('5', '"4h"'),
  store: STORE,
  'store.warning': level('as in [rules.warning]', 'as in [rules.warning]'),
  'store.critical': level('as in [rules.critical]', 'as in [rules.critical]'),
};

/** Keys that there were, and what stands in their place. */
export const REPLACED_KEYS: Readonly<Record<string, string>> = {
  frozen_backing: 'never_written = ["backing"] counts the backing files that nobody may write, and patterns name further ones',
};
