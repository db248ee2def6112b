/** What lies in deploy/, judged by what it is for: systemd's own checks, promtool, and a Prometheus that scrapes and answers. */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ScanReport } from '#wire';
import { HANG_MS } from '../support/hang.ts';
import { METRICS_CONTENT_TYPE, metricsText } from '../../src/server/metrics.ts';
import { COMMAND, run } from '../support/command.ts';
import { readExposition } from '../support/exposition.ts';
import { canMount, withFilesystem } from '../support/loop-mount.ts';
import { ROOT } from '../support/root.ts';
import { anImageView, aStoreView, aService } from '../support/service.ts';

const DEPLOY = join(ROOT, 'deploy');
const SYSTEMD = join(DEPLOY, 'systemd');
const PROMETHEUS = join(DEPLOY, 'prometheus');
const text = (...names: string[]): string => readFileSync(join(DEPLOY, ...names), 'utf8');

/** Of two stores and an image with a name made to hurt: every metric there is has a sample. */
const NASTY = '/srv/vm/"a"\\b\n} 1.qcow2';
const everything = await metricsText(
  aService({
    stores: [aStoreView(), aStoreView({ id: 'dev:8:1', mount: '/other', level: 'critical' })],
    images: [anImageView(), anImageView({ path: NASTY, id: 'i2', machine: 'mail' })],
  }),
);
const families = readExposition(everything);

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-deploy-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

interface Said {
  readonly status: number | null;
  readonly said: string;
}

function say(program: string, ...words: string[]): Said {
  const { status, stdout, stderr, error } = spawnSync(program, words, { encoding: 'utf8', cwd: directory });
  if (error !== undefined) throw error;
  return { status, said: stdout + stderr };
}

// ---- systemd ------------------------------------------------------------------------------------------------------------

/** The unit and its drop-ins in a directory of their own, with a command that is there. */
function installedUnit(name: string, change: (unit: string) => string = (unit) => unit): string {
  const place = join(directory, name);
  mkdirSync(join(place, 'plimsoll.service.d'), { recursive: true });
  const command = join(place, 'plimsoll');
  writeFileSync(command, '#!/bin/sh\n');
  chmodSync(command, 0o755);
  const unit = text('systemd', 'plimsoll.service').replace('/usr/local/bin/plimsoll', command);
  writeFileSync(join(place, 'plimsoll.service'), change(unit));
  return place;
}

function verify(place: string): Said {
  const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', join(place, 'plimsoll.service')], {
    encoding: 'utf8',
    env: { ...process.env, SYSTEMD_UNIT_PATH: `${place}:` },
  });
  return { status, said: stdout + stderr };
}

describe('plimsoll.service', () => {
  it('is valid for systemd', () => {
    expect(verify(installedUnit('verified'))).toEqual({ status: 0, said: '' });
  });

  it('is rejected with a misspelt directive', () => {
    expect(verify(installedUnit('misspelt', (unit) => unit.replace('ProtectClock=', 'ProtectClocks='))).said).toContain('ProtectClocks');
  });

  it("has an exposure of at most 1.8 of 10, by systemd's count", () => {
    const unit = join(installedUnit('hardened'), 'plimsoll.service');
    const judged = say('systemd-analyze', 'security', '--offline=yes', '--no-pager', '--threshold=18', unit);
    expect(judged.status, judged.said).toBe(0);
  });

  it.each([
    ['without its empty CapabilityBoundingSet=', 'CapabilityBoundingSet=\n'],
    ['without RestrictNamespaces=', 'RestrictNamespaces=yes\n'],
  ])('would be over that %s', (_, line) => {
    const unit = installedUnit(`soft-${line.length}`, (whole) => whole.replace(line, ''));
    expect(say('systemd-analyze', 'security', '--offline=yes', '--threshold=18', join(unit, 'plimsoll.service')).status).not.toBe(0);
  });

  it('accepts the drop-in for images that only other users can read, which adds one capability', () => {
    const place = installedUnit('drop-in');
    copyFileSync(
      join(SYSTEMD, 'plimsoll.service.d', 'read-all-images.conf.example'),
      join(place, 'plimsoll.service.d', 'read-all-images.conf'),
    );
    expect(verify(place)).toEqual({ status: 0, said: '' });
    writeFileSync(join(place, 'plimsoll.service.d', 'read-all-images.conf'), '[Service]\nInaccessiblePath=/root\n');
    expect(verify(place).said).toContain('InaccessiblePath');
  });

  it('runs as a user that sysusers creates', () => {
    const root = join(directory, 'sysusers');
    mkdirSync(join(root, 'etc'), { recursive: true });
    const made = say('systemd-sysusers', `--root=${root}`, join(SYSTEMD, 'plimsoll.sysusers.conf'));
    expect(made.status, made.said).toBe(0);
    const [user] = /^User=(.*)$/m.exec(text('systemd', 'plimsoll.service'))?.slice(1) ?? [];
    expect(readFileSync(join(root, 'etc', 'passwd'), 'utf8')).toMatch(
      new RegExp(`^${user}:x:\\d+:\\d+:.*:/var/lib/plimsoll:/usr/sbin/nologin$`, 'm'),
    );
  });

  it('permits every system call that reading a store makes', async () => {
    const images = join(directory, 'images');
    mkdirSync(images);
    for (const [name, format] of Object.entries({ 'a.qcow2': 'qcow2', 'b.raw': 'raw' })) {
      expect(say('qemu-img', 'create', '-q', '-f', format, join(images, name), '8M').status).toBe(0);
    }
    const trace = join(directory, 'trace');
    const scanned = await run('strace', ['-f', '-qq', '-o', trace, process.execPath, COMMAND, 'scan', '--json', images]);
    expect(scanned.code, scanned.stderr).toBe(0);
    const made = new Set([...readFileSync(trace, 'utf8').matchAll(/^\d+\s+([a-z_0-9]+)\(/gm)].map(([, call = '']) => call));
    expect(made.size).toBeGreaterThan(30);
    const allowed = allowedCalls(text('systemd', 'plimsoll.service'));
    expect([...made].filter((call) => !allowed.has(call))).toEqual([]);
    expect(['mount', 'ptrace', 'bpf', 'init_module', 'setuid'].filter((call) => allowed.has(call))).toEqual([]);
  });
});

/** What the lines SystemCallFilter= of `unit` let through: allowed first, what stands behind ~ taken away. */
function allowedCalls(unit: string): Set<string> {
  const allowed = new Set<string>();
  for (const [, denies, words = ''] of unit.matchAll(/^SystemCallFilter=(~?)(.*)$/gm)) {
    for (const call of words.split(' ').flatMap(expandSet)) {
      if (denies === '~') allowed.delete(call);
      else allowed.add(call);
    }
  }
  return allowed;
}

/** The calls of `@set`, of the sets in it too; a call is itself. */
function expandSet(word: string): string[] {
  if (!word.startsWith('@')) return [word];
  const members = say('systemd-analyze', 'syscall-filter', '--no-pager', word).said.split('\n').slice(1);
  return members.map((line) => line.trim()).flatMap((member) => (member === '' || member.startsWith('#') ? [] : expandSet(member)));
}

// ---- reading images without root, as docs/deploy.md says --------------------------------------------------------------

/** An unprivileged user that owns images, as the hypervisor's does. */
const HYPERVISOR = 64_055;

describe.runIf(canMount('permissions on images of others'))('a user without capabilities', () => {
  /** Who runs the tests, less all that makes root more than a name. */
  const withoutPowers = ['--no-new-privs', '--inh-caps=-all', '--bounding-set=-all'];

  function imagesOfOthers(name: string): string {
    const images = join(directory, name);
    mkdirSync(images);
    chownSync(images, HYPERVISOR, HYPERVISOR);
    chmodSync(images, 0o751);
    return images;
  }

  function makeImage(images: string, name: string, mode: number): void {
    const path = join(images, name);
    expect(say('qemu-img', 'create', '-q', '-f', 'qcow2', path, '8M').status).toBe(0);
    chownSync(path, HYPERVISOR, HYPERVISOR);
    if (mode !== 0) chmodSync(path, mode);
  }

  async function scanWithoutPowers(images: string): Promise<{ code: number | null; readable: string[]; errors: string[] }> {
    const { code, stdout } = await run('setpriv', [...withoutPowers, process.execPath, COMMAND, 'scan', '--json', images]);
    const report = JSON.parse(stdout) as ScanReport;
    const found = report.stores.flatMap((store) => store.images);
    return {
      code,
      readable: found.filter(({ commitment }) => commitment !== null).map(({ path }) => basename(path)),
      errors: [...found.flatMap(({ error }) => error?.code ?? []), ...report.errors.map((error) => error.code)],
    };
  }

  it('gets an error for an unreadable image, and no verdict without it', async () => {
    const images = imagesOfOthers('closed');
    makeImage(images, 'a.qcow2', 0o600);
    expect(say('setfacl', '-m', 'g:0:rx', images).status).toBe(0);
    const { code, readable, errors } = await scanWithoutPowers(images);
    expect([code, readable, errors]).toEqual([11, [], ['IO_EACCES']]);
  });

  it('reads images by an access list: existing ones, and those that qemu-img creates later', async () => {
    const images = imagesOfOthers('listed');
    makeImage(images, 'old.qcow2', 0o600);
    expect(say('setfacl', '-R', '-m', 'g:0:rX', images).status).toBe(0);
    expect(say('setfacl', '-R', '-d', '-m', 'g:0:rX', images).status).toBe(0);
    makeImage(images, 'new.qcow2', 0);
    expect(await scanWithoutPowers(images)).toEqual({ code: 0, readable: ['new.qcow2', 'old.qcow2'], errors: [] });
  });

  it('reads by it those of mode 0640, and not those set to 0600 afterwards, as libvirt does', async () => {
    const images = imagesOfOthers('libvirt');
    expect(say('setfacl', '-m', 'g:0:rX', '-d', '-m', 'g:0:rX', images).status).toBe(0);
    makeImage(images, 'shut.qcow2', 0o600);
    makeImage(images, 'open.qcow2', 0o640);
    expect((await scanWithoutPowers(images)).readable).toEqual(['open.qcow2']);
  });

  it('gets the same figures with a read-only tree, without devices and without privileges', async () => {
    await using filesystem = await withFilesystem('xfs', 300 * 2 ** 20);
    makeImage(filesystem.path, 'a.qcow2', 0o644);
    // A shared block, and a written one: the figures need the filesystem's map and its identity.
    expect(say('qemu-io', '-c', 'write 0 1M', join(filesystem.path, 'a.qcow2')).status).toBe(0);
    expect(say('cp', '--reflink=always', join(filesystem.path, 'a.qcow2'), join(filesystem.path, 'b.qcow2')).status).toBe(0);
    const scan = [process.execPath, COMMAND, 'scan', '--json', filesystem.path] as const;
    const [program, ...words] = scan;
    const free = await run(program, words);
    const asTheUnit = ['--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc', '--tmpfs', '/run', '--unshare-ipc', '--cap-drop', 'ALL'];
    const confined = await run('bwrap', [...asTheUnit, ...scan]);
    const [store] = (JSON.parse(free.stdout) as ScanReport).stores;
    const [seen] = (JSON.parse(confined.stdout) as ScanReport).stores;
    // Other users' processes cannot be inspected without root, and the report says so.
    expect(seen?.findings.map(({ code }) => code)).toContain('WRITERS_UNKNOWN');
    const without = (report: typeof store): unknown => ({
      ...report,
      findings: report?.findings.filter(({ code }) => code !== 'WRITERS_UNKNOWN'),
    });
    expect(without(seen)).toEqual(without(store));
    expect([store?.id, store?.shared]).toEqual([expect.stringMatching(/^uuid:/), expect.any(Number)]);
    expect(store?.shared).toBeGreaterThan(0);
    const written = await run('bwrap', [...asTheUnit, 'touch', join(filesystem.path, 'c')]);
    expect(written.stderr).toContain('Read-only file system');
  });

  it('reads all of them with CAP_DAC_READ_SEARCH, which the drop-in grants', async () => {
    const images = imagesOfOthers('capable');
    makeImage(images, 'a.qcow2', 0o600);
    const only = ['--no-new-privs', '--inh-caps=-all,+dac_read_search', '--bounding-set=-all,+dac_read_search'];
    const { code, stdout } = await run('setpriv', [...only, process.execPath, COMMAND, 'scan', '--json', images]);
    expect([code, (JSON.parse(stdout) as ScanReport).stores[0]?.images[0]?.capacity]).toEqual([0, 8 * 2 ** 20]);
  });
});

// ---- Prometheus ---------------------------------------------------------------------------------------------------------

const alertNames = [...text('prometheus', 'plimsoll.rules.yml').matchAll(/^ *- alert: (\w+)$/gm)].map(([, name = '']) => name);

describe('the alert rules', () => {
  it('are valid for promtool', () => {
    const checked = say('promtool', 'check', 'rules', join(PROMETHEUS, 'plimsoll.rules.yml'));
    expect(checked).toEqual({ status: 0, said: expect.stringContaining(`SUCCESS: ${alertNames.length} rules found`) });
  });

  it("fire exactly when they should, in promtool's simulation", () => {
    const tested = say('promtool', 'test', 'rules', join(PROMETHEUS, 'plimsoll.rules.test.yml'));
    expect(tested.status, tested.said).toBe(0);
  });

  it('fail the simulation if one fires too early', () => {
    const place = mkdtempSync(join(directory, 'rules-'));
    const early = text('prometheus', 'plimsoll.rules.yml').replace('for: 1h', 'for: 50m');
    writeFileSync(join(place, 'plimsoll.rules.yml'), early);
    copyFileSync(join(PROMETHEUS, 'plimsoll.rules.test.yml'), join(place, 'plimsoll.rules.test.yml'));
    expect(say('promtool', 'test', 'rules', join(place, 'plimsoll.rules.test.yml')).said).toContain('PlimsollStoreFilling');
  });

  it.each(alertNames)('%s fires in one test, and stays silent in another', (name) => {
    const cases = text('prometheus', 'plimsoll.rules.test.yml').split(/^ {2}- name: /m);
    const fires = cases.map((one) => new RegExp(`alertname: ${name}\\n *exp_alerts:`).test(one));
    const silent = cases.map((one) => one.startsWith(`'${name}:`) && !one.includes('exp_alerts:'));
    expect([fires.filter(Boolean).length, silent.some(Boolean)]).toEqual([1, true]);
  });
});

// ---- Grafana ------------------------------------------------------------------------------------------------------------

interface Target {
  readonly expr: string;
  readonly refId: string;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly datasource?: { readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly Target[];
}

interface Dashboard {
  readonly schemaVersion: number;
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
}

const dashboard = JSON.parse(text('grafana', 'plimsoll.json')) as Dashboard;
const drawn = dashboard.panels.filter(({ type }) => type !== 'row');
const expressions = drawn.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
const metricsIn = (source: string): string[] => [...new Set(source.match(/\bplimsoll_[a-z_]+/g) ?? [])];

describe('the dashboard', () => {
  it('is for Grafana 9 or later; its panels have unique ids and do not overlap', () => {
    expect(dashboard.schemaVersion).toBeGreaterThanOrEqual(36);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(dashboard.panels.filter(({ gridPos: { x, w } }) => x + w > 24)).toEqual([]);
  });

  it('queries the selected data source, with variables that it declares', () => {
    const declared = dashboard.templating.list.map(({ name }) => name);
    expect(declared).toEqual(['datasource', 'instance', 'store']);
    const used = [...text('grafana', 'plimsoll.json').matchAll(/\$\{?([a-z]\w*)/g)].map(([, name = '']) => name);
    expect(used.filter((name) => !declared.includes(name))).toEqual([]);
    expect(drawn.filter(({ datasource }) => datasource?.uid !== '${datasource}')).toEqual([]);
  });

  it.each(drawn.map((panel) => [panel.title, panel] as const))('explains each figure in the panel "%s"', (_, panel) => {
    const names = metricsIn((panel.targets ?? []).map(({ expr }) => expr).join(' '));
    expect(names).not.toEqual([]);
    for (const name of names) expect(panel.description).toContain(families.get(name)?.help);
  });
});

describe('dashboard and rules together', () => {
  const used = metricsIn([text('prometheus', 'plimsoll.rules.yml').replace(/^.*rules\.\w*\.?yml.*$/gm, ''), ...expressions].join(' '));

  it('use only metrics that plimsoll has', () => {
    expect(used.filter((name) => !families.has(name))).toEqual([]);
  });

  it('use all of them', () => {
    expect([...families.keys()].filter((name) => !used.includes(name))).toEqual([]);
  });
});

describe('docs/deploy.md', () => {
  const page = readFileSync(join(ROOT, 'docs', 'deploy.md'), 'utf8');
  const inTables = (name: string): string[] =>
    [...page.matchAll(/^\| `(\w+)` \|/gm)].flatMap(([, word = '']) => (word.startsWith(name) ? word : []));

  it('lists exactly the existing metrics', () => {
    expect(inTables('plimsoll_').sort()).toEqual([...families.keys()].sort());
  });

  it('lists exactly the existing alerts', () => {
    expect(inTables('Plimsoll')).toEqual(alertNames);
  });

  it('names only existing files of deploy/', () => {
    const named = [...page.matchAll(/\bdeploy\/[\w./-]*\w/g)].map(([name]) => name);
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((name) => !existsSync(join(ROOT, name)))).toEqual([]);
  });
});

describe('a Prometheus with the configuration of deploy/', () => {
  const TOKEN = 'a-token-of-more-than-thirty-two-characters';
  let plimsoll: Server;
  let prometheus: ReturnType<typeof spawn>;
  let address: string;
  let complaints = '';

  beforeAll(async () => {
    plimsoll = createServer((request, response) => {
      const isLetIn = request.headers.authorization === `Bearer ${TOKEN}` && request.url === '/metrics';
      response.writeHead(isLetIn ? 200 : 401, { 'content-type': METRICS_CONTENT_TYPE }).end(isLetIn ? everything : '');
    });
    const port = await listening(plimsoll);
    const place = join(directory, 'prometheus');
    mkdirSync(place);
    writeFileSync(join(place, 'token'), TOKEN);
    copyFileSync(join(PROMETHEUS, 'plimsoll.rules.yml'), join(place, 'plimsoll.rules.yml'));
    const config = text('prometheus', 'scrape.yml')
      .replace('/etc/prometheus/plimsoll.token', join(place, 'token'))
      .replace('127.0.0.1:9464', `127.0.0.1:${port}`)
      .replace(/scrape_interval: \w+/, 'scrape_interval: 1s')
      .replace(/scrape_timeout: \w+/, 'scrape_timeout: 1s');
    writeFileSync(join(place, 'prometheus.yml'), config);
    const probe = createServer();
    address = `127.0.0.1:${await listening(probe)}`;
    probe.close();
    const words = [`--config.file=${place}/prometheus.yml`, `--storage.tsdb.path=${place}/data`, `--web.listen-address=${address}`];
    prometheus = spawn('prometheus', words, { stdio: ['ignore', 'ignore', 'pipe'] });
    prometheus.stderr?.setEncoding('utf8').on('data', (piece: string) => {
      complaints += piece;
    });
    const isScraped = async (): Promise<boolean> => (await ask('up == 1').catch(() => [])).length === 1;
    await vi.waitUntil(isScraped, { timeout: HANG_MS, interval: 200 });
  });
  afterAll(() => {
    prometheus.kill('SIGKILL');
    plimsoll.close();
    plimsoll.closeAllConnections();
  });

  interface Answered {
    readonly metric: Readonly<Record<string, string>>;
    readonly value: readonly [number, string];
  }

  async function ask(query: string): Promise<readonly Answered[]> {
    const response = await fetch(`http://${address}/api/v1/query?query=${encodeURIComponent(query)}`);
    const body = (await response.json()) as { status: string; error?: string; data: { result: readonly Answered[] } };
    if (body.status !== 'success') throw new Error(`${query}: ${body.error}`);
    return body.data.result;
  }

  it('accepts every sample, hostile names included', async () => {
    const [scraped] = await ask('scrape_samples_scraped');
    expect(Number(scraped?.value[1])).toBe([...families.values()].reduce((sum, { samples }) => sum + samples.length, 0));
    const found = await ask('plimsoll_image_capacity_bytes{domain="mail"}');
    expect(found.map(({ metric }) => [metric['path'], metric['instance']])).toEqual([[NASTY, 'this-host']]);
    expect(complaints).not.toMatch(/level=(?:warn|error)/);
  });

  it.each(expressions.map((expr) => [expr]))("answers the dashboard's query: %s", async (expr) => {
    expect(await ask(expr.replaceAll(/\$(?:instance|store)/g, '.*'))).not.toEqual([]);
  });

  it('has loaded all rules without errors', async () => {
    const response = await fetch(`http://${address}/api/v1/rules`);
    const body = (await response.json()) as { data: { groups: { rules: { name: string; lastError?: string }[] }[] } };
    const rules = body.data.groups.flatMap((group) => group.rules);
    expect(rules.map(({ name }) => name)).toEqual(alertNames);
    expect(rules.filter(({ lastError }) => lastError !== undefined)).toEqual([]);
  });
});

function listening(server: Server): Promise<number> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)));
}
