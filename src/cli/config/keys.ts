/**
 * Every key of the configuration file: its type, its meaning and its default. Parser, schema and documentation derive
 * from it.
 */
import { ASSUMPTIONS } from '#base';
import { POLICIES } from '#wire';
import { LOG_LEVELS } from './log-levels.ts';

/** The type of a value, and its spelling. */
export type ValueKind =
  | { readonly is: 'size' | 'duration' | 'percent' | 'share' | 'path' | 'paths' | 'patterns' | 'address' | 'name' }
  /** The same, or "off". */
  | { readonly is: 'size' | 'duration' | 'percent' | 'path' | 'address'; readonly orOff: true }
  | { readonly is: 'choice' | 'choices'; readonly of: readonly string[] };

export interface Key {
  readonly kind: ValueKind;
  readonly means: string;
  /** The default, as it would be written. */
  readonly default: string;
}

export type Keys = Readonly<Record<string, Key>>;

const SERVE: Keys = {
  listen: {
    kind: { is: 'address', orOff: true },
    means: 'HTTP listen address; "auto": a free port if the default one is in use; a non-loopback address requires token_file',
    default: '"127.0.0.1:9464"',
  },
  socket: {
    kind: { is: 'path', orOff: true },
    means: 'the Unix socket for the commands',
    default: 'plimsoll.sock in the runtime directory',
  },
  state_directory: {
    kind: { is: 'path' },
    means: 'directory of reservations and history',
    default: '/var/lib/plimsoll, or a directory of the user',
  },
  token_file: {
    kind: { is: 'path' },
    means: 'file with the HTTP token: one line of at least 32 characters, not readable by other users',
    default: 'generated, in the file token of the state directory',
  },
  host_id: {
    kind: { is: 'name' },
    means: 'id of this host in reports, such as its name',
    default: 'derived from the machine id',
  },
  interval: { kind: { is: 'duration' }, means: 'how often changes are rescanned', default: '"30s"' },
  full_interval: { kind: { is: 'duration' }, means: 'how often everything is rescanned', default: '"6h"' },
  log_level: { kind: { is: 'choice', of: LOG_LEVELS }, means: 'minimum log level', default: '"info"' },
  raw_files: { kind: { is: 'paths' }, means: 'images that are raw, whatever their first bytes contain', default: '[]' },
  allow_directories: {
    kind: { is: 'paths' },
    means: 'directories into which references are followed, besides the monitored ones',
    default: '[]',
  },
};

const RULES: Keys = {
  policy: { kind: { is: 'choice', of: POLICIES }, means: 'the policy of admission', default: '"promise"' },
  idle_share: { kind: { is: 'share' }, means: 'the share of the residual that counts under the policy entitled', default: '0.25' },
  floor: { kind: { is: 'size' }, means: 'bytes that must always remain free', default: '"0"' },
  assume: {
    kind: { is: 'choices', of: ASSUMPTIONS },
    means: "the administrator's declarations about the storage below a store",
    default: '[]',
  },
  never_written: {
    kind: { is: 'patterns' },
    means: 'files that are never written, which count with their allocation; the word backing means backing files of overlays',
    default: '[]',
  },
  exclude: { kind: { is: 'patterns' }, means: 'files and directories to exclude', default: '[]' },
  notice: { kind: { is: 'duration' }, means: 'time until a problem is noticed', default: '"1m"' },
  relieve: { kind: { is: 'duration' }, means: 'time from then until a move has relieved the store', default: '"30m"' },
};

const level = (percent: string, time: string): Keys => ({
  bytes: {
    kind: { is: 'size', orOff: true },
    means: 'raised when at most this many bytes are available above the floor',
    default: '"off"',
  },
  percent: {
    kind: { is: 'percent', orOff: true },
    means: 'raised when at most this percentage of the store is available',
    default: percent,
  },
  time: { kind: { is: 'duration', orOff: true }, means: 'raised when the floor can be reached within that time', default: time },
});

const STORE: Keys = {
  directories: { kind: { is: 'paths' }, means: 'the directories to monitor, all on one filesystem', default: 'must be set' },
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

/** Keys of earlier versions, and their replacements. */
export const REPLACED_KEYS: Readonly<Record<string, string>> = {
  frozen_backing: 'never_written = ["backing"] counts backing files without write permission, and patterns name further files',
};
