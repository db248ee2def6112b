/** The configuration file: parsing, errors with their lines, and the documentation that must agree with the program. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'smol-toml';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../../../tests/support/root.ts';
import { TABLES } from './keys.ts';
import { parseConfig, problemText } from './read.ts';
import { configSchema } from './schema.ts';
import { expectedOf } from './values.ts';

const GiB = 2 ** 30;
const problemsOf = async (text: string): Promise<string[]> => (await parseConfig(text)).problems.map(problemText);

describe('parseConfig()', () => {
  it('reads every key', async () => {
    const { config, problems } = await parseConfig(`
[serve]
listen = "[::1]:80"
socket = "off"
state_directory = "/var/lib/x"
token_file = "/etc/x/token"
interval = "90s"
full_interval = "1d"
log_level = "warn"
raw_files = ["/srv/a.raw"]
allow_directories = ["/srv/t"]
[rules]
policy = "growth"
idle_share = 0.5
floor = "20G"
assume = ["exclusive"]
never_written = ["backing", "iso/"]
notice = "2m"
relieve = "1h30m"
warning = { bytes = "1G", percent = 20, time = "24h" }
[[store]]
directories = ["/srv/vm"]
floor = 4096
[store.critical]
bytes = "off"
percent = 2.5
time = "off"
[[store]]
directories = ["/a", "/b"]
assume = ["backed", "no-quota"]
`);
    expect(problems).toEqual([]);
    expect(config).toEqual({
      listen: '[::1]:80',
      socket: null,
      stateDirectory: '/var/lib/x',
      tokenFile: '/etc/x/token',
      intervalSeconds: 90,
      fullIntervalSeconds: 86_400,
      logLevel: 'warn',
      rawFiles: ['/srv/a.raw'],
      allowDirectories: ['/srv/t'],
      rules: {
        policy: 'growth',
        idleShare: 0.5,
        floor: 20 * GiB,
        assume: ['exclusive'],
        neverWritten: ['backing', 'iso/'],
        noticeSeconds: 120,
        relieveSeconds: 5400,
        warning: { bytes: GiB, percent: 20, seconds: 86_400 },
      },
      stores: [
        { directories: ['/srv/vm'], rules: { floor: 4096, critical: { bytes: null, percent: 2.5, seconds: null } } },
        { directories: ['/a', '/b'], rules: { assume: ['backed', 'no-quota'] } },
      ],
    });
  });

  it.each([
    ['[serve]\nlisten = "x:1"\nintervall = "1s"', ['line 3: serve.intervall: unknown key; did you mean interval?']],
    ['[serv]', ['line 1: serv: unknown key; did you mean serve?']],
    ['interval = "1s"', ['line 1: interval: unknown key; there are serve, rules, store']],
    ['[rules]\n\n"polcy" = "growth"', ['line 3: rules.polcy: unknown key; did you mean policy?']],
    ['[rules.warnin]\npercent = 1', ['line 1: rules.warnin: unknown key; did you mean warning?']],
    ['[rules.warning]\nseconds = 1', ['line 2: rules.warning.seconds: unknown key; there are bytes, percent, time']],
    ['[rules]\nfloor = "20GB"', [expect.stringMatching(/^line 2: rules\.floor: is "20GB", expected 20GiB/)]],
    ['[rules]\nfloor = -1', ['line 2: rules.floor: is -1, expected a size such as "20G"']],
    ['[rules]\nfloor = 99999999999999999999', ['line 2: rules.floor: is 99999999999999999999, expected a size such as "20G"']],
    ['[rules]\nidle_share = 50', ['line 2: rules.idle_share: is 50, expected a number from 0 to 1']],
    ['[rules]\nidle_share = nan', [expect.stringContaining('expected a number from 0 to 1')]],
    ['[rules]\nnotice = 60', [expect.stringContaining('rules.notice: is 60, expected a duration such as "30m"')]],
    ['[rules]\npolicy = "hope"', [expect.stringContaining('expected "promise", "growth", "entitled"')]],
    [
      '[[store]]\ndirectories = ["/a"]\nassume = ["thick"]',
      [expect.stringContaining('expected a list of "exclusive", "backed", "no-quota", "usual-writes"')],
    ],
    ['[rules]\nexclude = "*.iso"', [expect.stringContaining('expected a list of patterns')]],
    ['[rules]\nfrozen_backing = true', [expect.stringContaining('never_written = ["backing"]')]],
    ['[serve]\nsocket = "s"', [expect.stringContaining('expected an absolute path, or "off"')]],
    ['[serve]\nraw_files = "/a"', [expect.stringContaining('expected a list of absolute paths')]],
    ['rules = 1', [expect.stringContaining('rules: must be a table')]],
    ['[store]\ndirectories = ["/a"]', ['line 1: store: must be written [[store]], once for each store']],
    ['[[store]]\nfloor = "1G"', ['line 1: store[0]: needs directories']],
    ['[[store]]\ndirectories = []', ['line 2: store[0].directories: must list at least one directory']],
    [
      '[[store]]\ndirectories = ["/a"]\n[[store]]\ndirectories = ["/b"]\nflor = 1',
      ['line 5: store[1].flor: unknown key; did you mean floor?'],
    ],
    ['[[store]]\ndirectories = ["/a"]\n[store.critical]\nbites = 1', ['line 4: store[0].critical.bites: unknown key; did you mean bytes?']],
    ['[serve\nlisten = 1', [expect.stringMatching(/^line 1: not valid TOML: /)]],
    ['[rules]\nfloor = 1\nfloor = 2', [expect.stringMatching(/^line 3: not valid TOML: /)]],
    ['[rules]\n__proto__ = 1', [expect.stringContaining('__proto__: unknown key')]],
  ])('%j is refused', async (text, expected) => expect(await problemsOf(text)).toEqual(expected));

  it('reports all errors at once', async () => {
    expect(await problemsOf('[serve]\na = 1\n[rules]\nb = 1\nfloor = "x"\n[[store]]')).toHaveLength(4);
  });
});

describe('the example deploy/plimsoll.toml', () => {
  const text = readFileSync(join(ROOT, 'deploy', 'plimsoll.toml'), 'utf8');
  /** The example with everything that it shows enabled. */
  const all = text.replaceAll(/^# (?=[a-z_]+ = |\[)/gm, '');

  it('is valid as it stands, and with every example enabled', async () => {
    expect([await problemsOf(text), await problemsOf(all)]).toEqual([[], []]);
    const validate = new Ajv2020({ allErrors: true }).compile(configSchema());
    expect([validate(parse(text)), validate(parse(all)), validate(parse('[serve]\nx = 1'))]).toEqual([true, true, false]);
  });

  it('shows every key', () => {
    const shown = parse(all) as Record<string, Record<string, unknown>>;
    for (const name of ['serve', 'rules']) {
      const subtables = name === 'rules' ? ['warning', 'critical'] : [];
      expect(Object.keys(shown[name] ?? {}).sort()).toEqual([...Object.keys(TABLES[name] ?? {}), ...subtables].sort());
    }
  });
});

describe('the documentation', () => {
  it('docs/config.md explains every key as the program does', () => {
    const page = readFileSync(join(ROOT, 'docs', 'config.md'), 'utf8');
    for (const [name, keys] of Object.entries(TABLES).filter(([table]) => !table.startsWith('store.'))) {
      for (const [key, { kind, means }] of Object.entries(keys))
        expect(page, name).toContain(`| \`${key}\` | ${expectedOf(kind)} | ${means} |`);
    }
  });

  it('docs/schemas/config.schema.json equals the printed schema', () => {
    expect(JSON.parse(readFileSync(join(ROOT, 'docs', 'schemas', 'config.schema.json'), 'utf8'))).toEqual(configSchema());
  });
});
