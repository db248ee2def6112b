import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type DatabaseChoice, openDatabase, type StateDatabase } from './database.ts';

let directory: string;
let opened: StateDatabase[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-database-'));
  opened = [];
});
afterEach(() => {
  for (const one of opened) one.close();
  rmSync(directory, { recursive: true });
});

const FIRST = 'CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT) STRICT';

async function open(more: Partial<DatabaseChoice> = {}): Promise<StateDatabase> {
  const database = await openDatabase({
    file: join(directory, 'state.db'),
    migrations: [FIRST],
    durability: 'full',
    check: 'whole',
    slackBytes: 0,
    cachePages: 16,
    onRebuilt: ({ reason }) => {
      throw new Error(`rebuilt: ${reason}`);
    },
    ...more,
  });
  opened.push(database);
  return database;
}

const rowsOf = (database: StateDatabase): unknown => database.read((connection) => connection.all('SELECT * FROM t'));

describe('openDatabase()', () => {
  it('brings an older file to the newest form, and keeps what is in it', async () => {
    const old = await open();
    old.write((connection) => connection.run('INSERT INTO t VALUES (1, ?)', 'x'));
    old.close();
    const migrated = await open({ migrations: [FIRST, 'ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 5'] });
    expect(rowsOf(migrated)).toEqual([[1, 'x', 5]]);
    migrated.close();
    await expect(open()).rejects.toMatchObject({ kind: 'unsupported', code: 'STATE_NEWER' });
  });

  it.each([0o770, 0o702, 0o1777])('refuses a directory of mode %o', async (mode) => {
    const theirs = join(directory, 'theirs');
    mkdirSync(theirs);
    chmodSync(theirs, mode);
    await expect(open({ file: join(theirs, 'state.db') })).rejects.toMatchObject({ kind: 'refused', code: 'STATE_DIRECTORY_UNSAFE' });
  });

  it('takes a directory through a link, as systemd makes them', async () => {
    mkdirSync(join(directory, 'private'), { mode: 0o700 });
    symlinkSync('private', join(directory, 'public'));
    expect((await open({ file: join(directory, 'public', 'state.db') })).file).toBe(join(directory, 'private', 'state.db'));
  });

  it.each(['state.db', 'state.db.lock'])('refuses a fifo called %s and does not wait for it', async (name) => {
    execFileSync('mkfifo', [join(directory, name)]);
    await expect(open()).rejects.toMatchObject({ kind: 'refused', code: 'STATE_FILE_REFUSED' });
  });
});

describe('write()', () => {
  it('keeps nothing of what threw', async () => {
    const database = await open();
    const broken = (): void =>
      database.write((connection) => {
        connection.run("INSERT INTO t VALUES (1, 'x')");
        throw new Error('no');
      });
    expect(broken).toThrow('no');
    expect(rowsOf(database)).toEqual([]);
  });

  it('is refused when closed', async () => {
    const database = await open();
    database.close();
    expect(() => rowsOf(database)).toThrow(expect.objectContaining({ kind: 'bug', code: 'DATABASE_CLOSED' }));
  });
});
