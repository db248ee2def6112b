/**
 * One open SQLite file (libsql): prepared statements, transactions, and text as it is stored. Statements return text only up to
 * its first NUL and every lone surrogate as U+FFFD, so text from outside is stored as JSON (`asText`).
 */
import type Sqlite from 'libsql';
import { PlimsollError } from '#base';

export type Value = string | number | null;

export type SqliteDatabase = Sqlite.Database;

export type SqliteConstructor = new (file: string, options?: { readonly timeout?: number }) => SqliteDatabase;

/** Prepared statements by their text, over one open file. */
export class Connection {
  readonly #raw: SqliteDatabase;
  readonly #statements = new Map<string, Sqlite.Statement>();

  constructor(raw: SqliteDatabase) {
    this.#raw = raw;
  }

  /** The rows, each as a list of its columns. */
  all(sql: string, ...values: readonly Value[]): unknown[][] {
    return this.#prepared(sql, true).all(...values) as unknown[][];
  }

  /** Rows one after another: what was read before an error is kept. */
  *each(sql: string, ...values: readonly Value[]): Generator<unknown[]> {
    yield* this.#prepared(sql, true).iterate(...values) as IterableIterator<unknown[]>;
  }

  /** Returns how many rows changed. */
  run(sql: string, ...values: readonly Value[]): number {
    return this.#prepared(sql, false).run(...values).changes;
  }

  exec(sql: string): void {
    this.#raw.exec(sql);
  }

  /** Forgets all prepared statements and the file; the kernel closes it when the garbage is collected. */
  abandon(): void {
    this.#statements.clear();
    this.#raw.close();
  }

  rollback(): void {
    if (this.#raw.inTransaction) this.#raw.exec('ROLLBACK');
  }

  #prepared(sql: string, isQuery: boolean): Sqlite.Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#raw.prepare(sql);
      if (isQuery) statement.raw(true);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/** Text from outside as it is stored: no NUL, no lone surrogate, different for different strings. */
export function asText(value: string): string {
  return JSON.stringify(value);
}

export function fromText(stored: unknown): string {
  return JSON.parse(String(stored)) as string;
}

export function transaction<T>(connection: Connection, work: (connection: Connection) => T): T {
  connection.exec('BEGIN IMMEDIATE');
  try {
    const result = work(connection);
    connection.exec('COMMIT');
    return result;
  } catch (error) {
    try {
      connection.rollback();
    } catch {
      // SQLite took the transaction back by itself.
    }
    throw error;
  }
}

export function sqliteCode(error: unknown): string {
  const code = (error as { readonly code?: unknown } | undefined)?.code;
  return error instanceof Error && !(error instanceof PlimsollError) && typeof code === 'string' && code.startsWith('SQLITE_') ? code : '';
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export async function loadSqlite(): Promise<SqliteConstructor> {
  try {
    const loaded = (await import('libsql')) as unknown as { readonly default: SqliteConstructor };
    return loaded.default;
  } catch (cause) {
    throw new PlimsollError('unsupported', 'SQLITE_UNAVAILABLE', {
      doing: 'open database',
      found: `the package libsql cannot be loaded: ${cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause)}`,
      expected: `npm install libsql, with optional dependencies, on a system for which it has a binary (@libsql/linux-${process.arch}-gnu or -musl)`,
      cause,
    });
  }
}

export function requireWhole(connection: Connection, check: 'whole' | 'schema'): void {
  connection.all('SELECT name FROM sqlite_schema');
  if (check === 'schema') return;
  const [row] = connection.all('PRAGMA integrity_check(1)');
  if (row?.[0] !== 'ok') throw Object.assign(new Error(String(row?.[0])), { code: 'SQLITE_CORRUPT' });
}

/** Gives all locks back: those of a log by leaving it, which also writes it into the file. */
export function leave(connection: Connection): void {
  try {
    connection.rollback();
    connection.all('PRAGMA journal_mode=DELETE');
    connection.all('PRAGMA locking_mode=NORMAL');
    connection.all('SELECT count(*) FROM sqlite_schema');
  } catch {
    // What was acknowledged is in the log, which the next start reads.
  }
  connection.abandon();
}
