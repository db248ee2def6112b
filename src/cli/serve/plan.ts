/** The effective settings of `serve`: the configuration file, overridden by the command line, completed by defaults. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Assumption, PlimsollError } from '#base';
import { DEFAULT_RULES, mergeRules } from '#pool';
import type { StoreConfig } from '#service';
import { NO_CONFIG, readConfigFile } from '../config/read.ts';
import type { LogLevel } from '../config/log-levels.ts';

export interface ServeFlags {
  readonly config?: string;
  readonly listen?: string;
  readonly socket?: string;
  readonly state?: string;
  readonly interval?: number;
  readonly logLevel?: LogLevel;
  readonly demo?: true;
  readonly assume?: readonly Assumption[];
}

export interface ServePlan {
  readonly stores: readonly StoreConfig[];
  /** As written; `auto`: the default port, or a free one if it is taken; null: no TCP. */
  readonly listen: string | null;
  readonly socket: string | null;
  readonly stateDirectory: string;
  readonly tokenFile: string | undefined;
  readonly hostId: string | undefined;
  readonly everyMs: number;
  readonly fullEveryMs: number;
  readonly logLevel: LogLevel;
  readonly rawFiles: readonly string[];
  readonly allowDirectories: readonly string[];
}

/** The default file of the host; read if no other is named. */
export const SYSTEM_CONFIG = '/etc/plimsoll/plimsoll.toml';
export const DEFAULT_LISTEN = '127.0.0.1:9464';
export const AUTO_LISTEN = 'auto';
const DEFAULT_INTERVAL_SECONDS = 30;
const DEFAULT_FULL_INTERVAL_SECONDS = 6 * 3600;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * `directories` of the command line are watched by the configured rules of all stores, beside the configured stores.
 *
 * Throws: usage, SERVE_NOTHING, when there is nothing to watch; CONFIG_INVALID; RULE_VALUE, RULE_ORDER.
 */
export async function planServe(directories: readonly string[], flags: ServeFlags, env: Environment): Promise<ServePlan> {
  const file = flags.config ?? (directories.length === 0 && existsSync(SYSTEM_CONFIG) ? SYSTEM_CONFIG : undefined);
  const config = file === undefined ? NO_CONFIG : await readConfigFile(file);
  const declared = flags.assume === undefined ? {} : { assume: flags.assume };
  const rules = mergeRules(DEFAULT_RULES, { ...config.rules, ...declared }, 'use [rules]');
  const stores: StoreConfig[] = config.stores.map((store) => ({
    directories: store.directories,
    rules: mergeRules(rules, store.rules, `use the rules of ${store.directories.join(', ')}`),
  }));
  if (directories.length > 0) stores.push({ directories: directories.map((one) => resolve(one)), rules });
  if (stores.length === 0) {
    throw new PlimsollError('usage', 'SERVE_NOTHING', {
      doing: 'serve',
      found: 'no directories',
      expected: 'DIRECTORY..., --demo, or stores in a configuration file',
    });
  }
  return {
    stores,
    listen: flags.listen === undefined ? configured(config.listen, DEFAULT_LISTEN) : offOr(flags.listen),
    socket: flags.socket === undefined ? configured(config.socket, defaultSocket(env)) : offOr(flags.socket),
    stateDirectory: flags.state ?? config.stateDirectory ?? defaultState(env),
    tokenFile: config.tokenFile,
    hostId: config.hostId,
    everyMs: 1000 * (flags.interval ?? config.intervalSeconds ?? DEFAULT_INTERVAL_SECONDS),
    fullEveryMs: 1000 * (config.fullIntervalSeconds ?? DEFAULT_FULL_INTERVAL_SECONDS),
    logLevel: flags.logLevel ?? config.logLevel ?? 'info',
    rawFiles: config.rawFiles,
    allowDirectories: config.allowDirectories,
  };
}

function configured(value: string | null | undefined, usual: string | null): string | null {
  return value === undefined ? usual : value;
}

function offOr(text: string): string | null {
  return text === 'off' ? null : text;
}

/** systemd names the service's directories; a colon would separate several. */
function firstOf(value: string | undefined): string | undefined {
  const [first] = (value ?? '').split(':');
  return first === '' ? undefined : first;
}

/** In the directory that commands search: see socketPath. Undefined without a runtime directory. */
function defaultSocket(env: Environment): string | null {
  const service = firstOf(env['RUNTIME_DIRECTORY']);
  if (service !== undefined) return join(service, 'plimsoll.sock');
  if (isRoot()) return '/run/plimsoll/plimsoll.sock';
  const own = env['XDG_RUNTIME_DIR'] ?? '';
  return own === '' ? null : join(own, 'plimsoll', 'plimsoll.sock');
}

function defaultState(env: Environment): string {
  const service = firstOf(env['STATE_DIRECTORY']);
  if (service !== undefined) return service;
  if (isRoot()) return '/var/lib/plimsoll';
  const own = env['XDG_STATE_HOME'] ?? '';
  return join(own === '' ? join(env['HOME'] ?? '/', '.local', 'state') : own, 'plimsoll');
}

function isRoot(): boolean {
  return process.geteuid?.() === 0;
}
