/** Reads the configuration file (TOML) by the table of keys, and reports all errors at once, each with line and key. */
import { open } from 'node:fs/promises';
import { asPlimsollError, PlimsollError } from '#base';
import type { PartialRules } from '#pool';
import type { LevelRule } from '#wire';
import { type Keys, REPLACED_KEYS, TABLES } from './keys.ts';
import { lineOfKey } from './lines.ts';
import type { LogLevel } from './log-levels.ts';
import { nearestTo } from './nearest.ts';
import { expectedOf, readValue } from './values.ts';

export interface ConfiguredStore {
  readonly directories: readonly string[];
  /** Overrides the rules of all stores. */
  readonly rules: PartialRules;
}

/** The settings of the file; an absent key is undefined, one that is off is null. */
export interface Config {
  readonly listen?: string | null;
  readonly socket?: string | null;
  readonly stateDirectory?: string;
  readonly tokenFile?: string;
  readonly hostId?: string;
  readonly intervalSeconds?: number;
  readonly fullIntervalSeconds?: number;
  readonly logLevel?: LogLevel;
  readonly rawFiles: readonly string[];
  readonly allowDirectories: readonly string[];
  readonly rules: PartialRules;
  readonly stores: readonly ConfiguredStore[];
}

export const NO_CONFIG: Config = { rawFiles: [], allowDirectories: [], rules: {}, stores: [] };

export interface ConfigProblem {
  readonly line: number | null;
  /** `serve.listen`, `store[1].floor`; empty for the file as a whole. */
  readonly key: string;
  readonly message: string;
}

export interface ReadConfig {
  readonly config: Config;
  /** Empty if the file is valid. */
  readonly problems: readonly ConfigProblem[];
}

const MAX_FILE_LENGTH = 1024 * 1024;
const DOING = 'read the configuration';

/** The text of the file `path`. Throws: not-found, io; over-budget, CONFIG_LARGE. */
export async function readConfigText(path: string): Promise<string> {
  try {
    await using file = await open(path, 'r');
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_FILE_LENGTH + 1), 0, MAX_FILE_LENGTH + 1, 0);
    if (bytesRead <= MAX_FILE_LENGTH) return buffer.toString('utf8', 0, bytesRead);
  } catch (thrown) {
    throw asPlimsollError(thrown, DOING, path);
  }
  throw new PlimsollError('over-budget', 'CONFIG_LARGE', {
    doing: DOING,
    image: path,
    found: 'more than 1 MiB',
    expected: 'a configuration',
  });
}

/** The configuration in the file `path`. Throws: usage, CONFIG_INVALID, with the first problem; not-found, io. */
export async function readConfigFile(path: string): Promise<Config> {
  const { config, problems } = await parseConfig(await readConfigText(path));
  const [first] = problems;
  if (first === undefined) return config;
  const others = problems.length > 1 ? `; and ${problems.length - 1} more (plimsoll config check)` : '';
  throw new PlimsollError('usage', 'CONFIG_INVALID', { doing: DOING, image: path }, `Cannot ${DOING}: ${problemText(first)}${others}`);
}

export function problemText({ line, key, message }: ConfigProblem): string {
  return [...(line === null ? [] : [`line ${line}`]), ...(key === '' ? [] : [key]), message].join(': ');
}

export async function parseConfig(text: string): Promise<ReadConfig> {
  const { parse, TomlError } = await import('smol-toml');
  try {
    return new ConfigReader(text).read(parse(text, { integersAsBigInt: 'asNeeded', maxDepth: 16 }));
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const message = `not valid TOML: ${(error.message.split('\n')[0] ?? '').replace(/^Invalid TOML document: /, '')}`;
    return { config: NO_CONFIG, problems: [{ line: error.line, key: '', message }] };
  }
}

type Table = Readonly<Record<string, unknown>>;

/** The location of a table: its header, and its index in an array of tables (-1: not in an array). */
interface Place {
  readonly table: string;
  readonly index: number;
}

class ConfigReader {
  readonly #text: string;
  readonly #problems: ConfigProblem[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  read(root: Table): ReadConfig {
    const top: Place = { table: '', index: -1 };
    const known = Object.keys(TABLES).filter((name) => !name.includes('.'));
    for (const key of Object.keys(root).filter((one) => !known.includes(one))) this.#unknown(top, key, known);
    const serve = this.#values(this.#tableAt(root, 'serve', top), { table: 'serve', index: -1 });
    const rules = this.#rules(this.#tableAt(root, 'rules', top), { table: 'rules', index: -1 });
    const config: Config = {
      ...withoutUndefined({
        listen: serve['listen'],
        socket: serve['socket'],
        stateDirectory: serve['state_directory'],
        tokenFile: serve['token_file'],
        hostId: serve['host_id'],
        intervalSeconds: serve['interval'],
        fullIntervalSeconds: serve['full_interval'],
        logLevel: serve['log_level'],
      }),
      rawFiles: (serve['raw_files'] ?? []) as readonly string[],
      allowDirectories: (serve['allow_directories'] ?? []) as readonly string[],
      rules,
      stores: this.#stores(root['store']),
    };
    return { config, problems: this.#problems };
  }

  #stores(given: unknown): ConfiguredStore[] {
    if (given === undefined) return [];
    if (!Array.isArray(given)) {
      this.#say({ table: '', index: -1 }, 'store', 'must be written [[store]], once for each store');
      return [];
    }
    return given.map((table: unknown, index) => {
      const place = { table: 'store', index };
      const values = isTable(table) ? table : {};
      const directories = this.#values(values, place, ['warning', 'critical'])['directories'] as readonly string[] | undefined;
      if (directories === undefined && !('directories' in values)) this.#say(place, undefined, 'needs directories');
      else if (directories?.length === 0) this.#say(place, 'directories', 'must list at least one directory');
      return { directories: directories ?? [], rules: this.#rules(values, place, false) };
    });
  }

  /** `tells`: report unknown keys of the table itself, which otherwise its caller reports. */
  #rules(table: Table, place: Place, tells = true): PartialRules {
    const problems = this.#problems.length;
    const values = this.#values(table, place, ['warning', 'critical']);
    if (!tells) this.#problems.length = problems;
    const level = (name: 'warning' | 'critical'): Partial<LevelRule> => {
      const inner: Place = { table: `${place.table}.${name}`, index: place.index };
      const { bytes, percent, time } = this.#values(this.#tableAt(table, name, place), inner);
      return withoutUndefined({ bytes, percent, seconds: time });
    };
    return withoutUndefined({
      policy: values['policy'],
      idleShare: values['idle_share'],
      floor: values['floor'],
      assume: values['assume'],
      neverWritten: values['never_written'],
      exclude: values['exclude'],
      noticeSeconds: values['notice'],
      relieveSeconds: values['relieve'],
      ...('warning' in table ? { warning: level('warning') } : {}),
      ...('critical' in table ? { critical: level('critical') } : {}),
    });
  }

  #tableAt(parent: Table, key: string, place: Place): Table {
    const found = parent[key];
    if (found === undefined || isTable(found)) return found ?? {};
    this.#say(place, key, 'must be a table');
    return {};
  }

  /** The values of a table by its keys; `subtables` are parsed elsewhere. */
  #values(table: Table, place: Place, subtables: readonly string[] = []): Readonly<Record<string, unknown>> {
    const keys: Keys = TABLES[place.table] ?? {};
    const values: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(table)) {
      const key = Object.hasOwn(keys, name) ? keys[name] : undefined;
      if (subtables.includes(name)) continue;
      if (key === undefined) {
        this.#unknown(place, name, [...Object.keys(keys), ...subtables]);
        continue;
      }
      try {
        values[name] = readValue(key.kind, value);
      } catch (error) {
        if (!(error instanceof PlimsollError)) throw error;
        this.#say(place, name, `is ${shown(value)}, expected ${String(error.where.expected ?? expectedOf(key.kind))}`);
      }
    }
    return values;
  }

  #unknown(place: Place, key: string, known: readonly string[]): void {
    const replaced = Object.hasOwn(REPLACED_KEYS, key) ? REPLACED_KEYS[key] : undefined;
    if (replaced !== undefined) return this.#say(place, key, `is a removed key: ${replaced}`);
    const near = nearestTo(key, known);
    this.#say(place, key, `unknown key${near === undefined ? `; there are ${known.join(', ')}` : `; did you mean ${near}?`}`);
  }

  #say({ table, index }: Place, key: string | undefined, message: string): void {
    const header = index < 0 ? table : table.replace('store', `store[${index}]`);
    const name = [header, key].filter((one) => one !== '' && one !== undefined).join('.');
    this.#problems.push({ line: lineOfKey(this.#text, table, index, key) ?? null, key: name, message });
  }
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function shown(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  return (JSON.stringify(value) ?? String(value)).slice(0, 80);
}

function withoutUndefined(values: Readonly<Record<string, unknown>>): Record<string, never> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Record<string, never>;
}
