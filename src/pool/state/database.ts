/**
 * A file that plimsoll keeps for itself, as an SQLite database (libsql): one process at a time, what is damaged is put aside
 * and made anew, and nothing is acknowledged before it is safe.
 *
 * Exclusion is a transaction on a second, empty file (`NAME.lock`) that stays open as long as the database is. It is a lock
 * of the kernel, so it is gone with the process, however that ends; and it is held, too, while the database itself is being
 * replaced. The database is locked exclusively as well, so that SQLite needs no memory shared through a file (-shm): no
 * space for it on a full disk, and no SIGBUS.
 *
 * libsql closes a file only when its object is garbage, so `close` releases the locks by itself.
 */
import { basename, dirname, join } from 'node:path';
import { PlimsollError } from '#base';
import {
  quarantinePath,
  createEmptyStateFile,
  ensureStateFile,
  forgetAside,
  hasLog,
  quarantine,
  prepareStateDirectory,
  publishStateFile,
  readStart,
  roomBeside,
  stateFileIdentity,
  stateFileKind,
} from '#host';
import { Connection, leave, loadSqlite, messageOf, requireWhole, sqliteCode, type SqliteConstructor, transaction } from './connection.ts';
import { HEADER_BYTES, readDamaged } from './damaged-database.ts';
import { freeBytes, takeSlack } from './slack.ts';

export interface DatabaseChoice {
  /** Its directory is made if it is missing. */
  readonly file: string;
  /** Migration n leads from user_version n to n + 1; only ever add to the end. */
  readonly migrations: readonly string[];
  /** full: flushed before a write returns. normal: a power cut can take the last writes, never damage the file. */
  readonly durability: 'full' | 'normal';
  /** whole: every page is looked at when it is opened, which takes as long as reading it. */
  readonly check: 'whole' | 'schema';
  /** Bytes that are kept allocated, so that small changes can be made on a full disk; 0: none. */
  readonly slackBytes: number;
  /** Pages of 4 KiB kept in memory. */
  readonly cachePages: number;
  /**
   * The file was damaged and is kept as `aside`; `fresh` is new. `damaged` opens a copy, where that can be done, to read
   * from it what can be read.
   */
  readonly onRebuilt: (event: Rebuilt) => void;
  readonly now?: () => number;
}

export interface Rebuilt {
  /** Name of the damaged file in the same directory. */
  readonly aside: string;
  readonly reason: string;
  readonly fresh: Connection;
  /** Calls `read` with the damaged database, then, if that threw, with its header replaced; the last result, else undefined. */
  readonly readDamaged: <T>(read: (damaged: Connection) => T) => T | undefined;
}

/** Checkpoint after so many pages of 4 KiB: the log stays within the slack. */
const CHECKPOINT_PAGES = 64;
/** Of its size: once in the log, once in the file, and as much again for what else is being written. */
const ROOM_FOR_SLACK = 3;
/** Another tool may have the file open for a moment. */
const BUSY_MS = 200;

/** Nothing can be told of what the database holds any more. Source: SQLite's result codes. */
const DAMAGE = /^SQLITE_(CORRUPT|NOTADB)/;
const FULL = /^SQLITE_(FULL|IOERR_WRITE|IOERR_SHMSIZE|CANTOPEN|READONLY|IOERR_FSYNC|IOERR_TRUNCATE|BUSY)/;

/**
 * The database, open and locked.
 *
 * Throws: conflict, STATE_IN_USE, when another process has it; unsupported, SQLITE_UNAVAILABLE, STATE_NEWER; refused,
 * STATE_DIRECTORY_UNSAFE, STATE_FILE_REFUSED; io, STATE_UNUSABLE.
 */
export async function openDatabase(choice: DatabaseChoice): Promise<StateDatabase> {
  return new StateDatabase(await loadSqlite(), choice);
}

export class StateDatabase {
  readonly file: string;
  readonly #sqlite: SqliteConstructor;
  readonly #choice: DatabaseChoice;
  #lock: Connection;
  #lockIdentity: string | undefined;
  #connection: Connection | undefined;
  #identity: string | undefined;
  #isClosed = false;
  /** A damaged file was put aside, and what can be read from it is not here yet. */
  #isUnsettled = false;
  #reason = 'it was damaged when last used';
  #header: Buffer | undefined;

  constructor(sqlite: SqliteConstructor, choice: DatabaseChoice) {
    this.#sqlite = sqlite;
    this.#choice = choice;
    this.file = join(prepareStateDirectory(dirname(choice.file)), basename(choice.file));
    this.#lock = this.#takeLock();
    try {
      this.#translated(() => this.#connected());
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** What `work` reads. Where the file turns out to be damaged, it is made anew and `work` runs again. Throws as `write`. */
  read<T>(work: (connection: Connection) => T): T {
    return this.#translated(() => this.#withRebuild(work));
  }

  /**
   * `work` in one transaction, which is kept whole or not at all; durable on return as chosen. May run twice, as in `read`.
   *
   * Throws: io, STATE_UNWRITABLE when there is no room or permission, STATE_UNUSABLE for all else; what `work` throws itself.
   */
  write<T>(work: (connection: Connection) => T): T {
    return this.read((connection) => transaction(connection, work));
  }

  /**
   * As `write`, for what makes the database grow: done only if slack is left for what does not. Otherwise the last space would
   * go to what can be refused.
   */
  writeMore<T>(work: (connection: Connection) => T): T {
    return this.read((connection) => {
      if (freeBytes(connection) < this.#choice.slackBytes / 2) this.#takeSlack(connection);
      return transaction(connection, work);
    });
  }

  /** May be called twice. The file is left complete, without a log. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#connection !== undefined) leave(this.#connection);
    this.#connection = undefined;
    leave(this.#lock);
  }

  #withRebuild<T>(work: (connection: Connection) => T): T {
    if (this.#isClosed) throw new PlimsollError('bug', 'DATABASE_CLOSED', { doing: 'use database', image: this.file });
    if (this.#connection !== undefined && stateFileIdentity(this.file) !== this.#identity) {
      this.#keepPlace();
      this.#putAside('the file was removed or replaced while it was in use');
    }
    try {
      return work(this.#connected());
    } catch (error) {
      if (!DAMAGE.test(sqliteCode(error))) throw error;
      this.#putAside(messageOf(error));
      return work(this.#connected());
    }
  }

  #connected(): Connection {
    const connection = this.#connection ?? this.#connect();
    if (this.#isUnsettled) this.#settle(connection);
    return connection;
  }

  #connect(): Connection {
    const wrong = this.#wrongFromOutside();
    if (wrong !== undefined) this.#putAside(wrong);
    else this.#isUnsettled = quarantinePath(this.file) !== undefined;
    this.#connection = stateFileKind(this.file) === 'missing' ? this.#create() : this.#openExisting();
    return this.#connection;
  }

  /** The directory may be gone with the file: then it is made anew, and locked against others anew. Throws: conflict, STATE_IN_USE. */
  #keepPlace(): void {
    prepareStateDirectory(dirname(this.file));
    if (stateFileIdentity(this.#lockFile) === this.#lockIdentity) return;
    const lost = this.#lock;
    this.#lock = this.#takeLock();
    lost.abandon();
  }

  #wrongFromOutside(): string | undefined {
    const kind = stateFileKind(this.file);
    if (kind === 'directory') return 'a directory had its name';
    if (kind === 'empty') return 'the file was empty';
    return kind === 'missing' && hasLog(this.file) ? 'the file was missing, only its log was there' : undefined;
  }

  #openExisting(): Connection {
    try {
      return this.#open();
    } catch (error) {
      if (!DAMAGE.test(sqliteCode(error))) throw error;
      this.#putAside(messageOf(error));
      return this.#create();
    }
  }

  #putAside(reason: string): void {
    this.#connection?.abandon();
    this.#connection = undefined;
    quarantine(this.file, this.#now());
    this.#isUnsettled = true;
    this.#reason = reason;
  }

  /** Whatever ends this half-way, the next call or the next process does it again. */
  #settle(fresh: Connection): void {
    const aside = quarantinePath(this.file);
    const damaged = {
      file: aside === undefined ? undefined : join(dirname(this.file), aside),
      copy: `${this.file}.salvage`,
      header: this.#header,
    };
    const read: Rebuilt['readDamaged'] = (work) => readDamaged(this.#sqlite, damaged, work);
    if (aside !== undefined) this.#choice.onRebuilt({ aside, reason: this.#reason, fresh, readDamaged: read });
    forgetAside(this.file);
    this.#isUnsettled = false;
  }

  /** Made under another name, so that a crash leaves no half of it under this one. */
  #create(): Connection {
    const begun = `${this.file}.new`;
    createEmptyStateFile(begun);
    const connection = new Connection(new this.#sqlite(begun));
    try {
      connection.exec('PRAGMA synchronous=FULL');
      connection.exec(['BEGIN', ...this.#choice.migrations, `PRAGMA user_version=${this.#choice.migrations.length}`, 'COMMIT'].join(';\n'));
    } finally {
      connection.abandon();
    }
    this.#header = readStart(begun, HEADER_BYTES);
    publishStateFile(begun, this.file);
    return this.#open();
  }

  #open(): Connection {
    const connection = new Connection(new this.#sqlite(this.file, { timeout: BUSY_MS }));
    try {
      connection.exec(`PRAGMA busy_timeout=${BUSY_MS}`);
      connection.exec('PRAGMA locking_mode=EXCLUSIVE');
      connection.exec(`PRAGMA cache_size=${this.#choice.cachePages}`);
      // Before anything is written: a damaged file is kept as it was found.
      requireWhole(connection, this.#choice.check);
      connection.exec('PRAGMA journal_mode=WAL');
      connection.exec(`PRAGMA synchronous=${this.#choice.durability.toUpperCase()}`);
      connection.exec(`PRAGMA wal_autocheckpoint=${this.#checkpointPages()}`);
      this.#migrate(connection);
      this.#identity = stateFileIdentity(this.file);
      if (this.#choice.slackBytes > 0) this.#tryForSlack(connection);
      return connection;
    } catch (error) {
      connection.abandon();
      throw error;
    }
  }

  #now(): number {
    return (this.#choice.now ?? Date.now)();
  }

  #checkpointPages(): number {
    return this.#choice.slackBytes > 0 ? CHECKPOINT_PAGES : CHECKPOINT_PAGES * 16;
  }

  #migrate(connection: Connection): void {
    const version = Number(connection.all('PRAGMA user_version')[0]?.[0] ?? 0);
    const known = this.#choice.migrations.length;
    if (version > known) {
      throw new PlimsollError('unsupported', 'STATE_NEWER', {
        doing: 'open database',
        image: this.file,
        field: 'version',
        found: version,
        expected: `at most ${known}: it was written by a later plimsoll`,
      });
    }
    if (version === known) return;
    transaction(connection, () => {
      for (const migration of this.#choice.migrations.slice(version)) connection.exec(migration);
      connection.exec(`PRAGMA user_version=${known}`);
    });
  }

  /** A full disk is no reason not to open. */
  #tryForSlack(connection: Connection): void {
    try {
      this.#takeSlack(connection);
    } catch (error) {
      if (!FULL.test(sqliteCode(error))) throw error;
    }
  }

  get #lockFile(): string {
    return `${this.file}.lock`;
  }

  /**
   * Only where there is room for log and file: what the log takes and the file cannot would keep the log from ever being begun
   * anew, and the next change would find no room in it.
   */
  #takeSlack(connection: Connection): void {
    const { slackBytes } = this.#choice;
    if (roomBeside(this.file) < ROOM_FOR_SLACK * slackBytes) {
      throw Object.assign(new Error('too little room on the filesystem'), { code: 'SQLITE_FULL' });
    }
    takeSlack(connection, slackBytes);
  }

  #takeLock(): Connection {
    const file = this.#lockFile;
    // Opening it would drop the lock of an earlier holder in this very process.
    if (stateFileKind(file) === 'missing') ensureStateFile(file);
    const connection = new Connection(new this.#sqlite(file));
    try {
      connection.exec('PRAGMA journal_mode=MEMORY');
      connection.exec('BEGIN EXCLUSIVE');
      this.#lockIdentity = stateFileIdentity(file);
      return connection;
    } catch (error) {
      connection.abandon();
      throw this.#lockError(error);
    }
  }

  #lockError(error: unknown): unknown {
    if (!sqliteCode(error).startsWith('SQLITE_BUSY')) return this.#asIoError(error);
    return new PlimsollError('conflict', 'STATE_IN_USE', {
      doing: 'open database',
      image: this.file,
      found: 'locked by another process',
      expected: 'one plimsoll serve per state directory',
      cause: error,
    });
  }

  #translated<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw this.#asIoError(error);
    }
  }

  #asIoError(error: unknown): unknown {
    const code = sqliteCode(error);
    if (code === '') return error;
    const where = { doing: 'use database', image: this.file, found: `${messageOf(error)} (${code})`, cause: error };
    if (FULL.test(code)) return new PlimsollError('io', 'STATE_UNWRITABLE', where);
    return new PlimsollError('io', 'STATE_UNUSABLE', where);
  }
}
