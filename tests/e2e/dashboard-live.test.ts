/** The dashboard in Debian's chromium, in front of a daemon that watches a small filesystem, while things happen on it. */
import { Buffer } from 'node:buffer';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { AdmissionDecision, StatusReport, StoreView } from '#wire';
import { keepScreenshot, openBrowser, openPage, seriousViolations } from '../support/browser.ts';
import { LiveDaemon } from '../support/live-daemon.ts';
import { type MountedFilesystem, withFilesystem } from '../support/loop-mount.ts';
import { qemuImg, qemuIo } from '../support/qemu.ts';

const MiB = 2 ** 20;
/** Looked at every second, as a test has no time. */
const RULES = '[serve]\ninterval = "1s"\n[rules]\n[rules.warning]\npercent = 40\n[rules.critical]\npercent = 20\n';

let browser: Browser;
let store: MountedFilesystem;
let images: string;
let daemon: LiveDaemon;

beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(() => browser.close());

beforeEach(async () => {
  store = await withFilesystem('ext4', 256 * MiB, ['-m', '0']);
  images = join(store.path, 'vm');
  mkdirSync(images);
  await qemuImg(images, 'create', '-q', '-f', 'qcow2', 'web.qcow2', '96M');
  daemon = await serve(RULES);
});
afterEach(async () => {
  await daemon.close();
  await store.unmount();
});

function serve(config: string): Promise<LiveDaemon> {
  const file = join(store.path, 'plimsoll.toml');
  writeFileSync(file, `${config}[[store]]\ndirectories = ["${images}"]\nassume = ["usual-writes"]\n`);
  return LiveDaemon.start('--config', file);
}

async function storeNow(): Promise<StoreView> {
  const { stdout } = await daemon.ask('status', '--json');
  return (JSON.parse(stdout) as StatusReport).stores[0] as StoreView;
}

const cardOf = (page: Page): Locator => page.getByRole('article', { name: store.path });

/** Exact bytes of a figure of the legend. */
async function figure(card: Locator, word: string): Promise<number> {
  const row = card.locator('.legend > div').filter({ has: card.page().getByRole('button', { name: word, exact: true }) });
  return Number(await row.locator('data').getAttribute('value'));
}

/** Exact bytes of all components of a sum, and at the end what they leave. */
async function sumOn(place: Locator): Promise<number[]> {
  const values = await place.locator('table.sum data').evaluateAll((all) => all.map((one) => (one as unknown as { value: string }).value));
  return values.map(Number);
}

it('shows a store with the figures and the sum of the daemon', async () => {
  const { page, complaints, close } = await openPage(browser, daemon.url);
  const card = cardOf(page);
  const now = await storeNow();
  for (const [word, bytes] of Object.entries({ size: now.size, residual: now.residual, headroom: now.headroom, images: now.allocation })) {
    expect([word, await figure(card, word)]).toEqual([word, bytes]);
  }
  await card.getByRole('heading', { level: 2 }).getByRole('link').click();
  const panel = page.getByRole('region', { name: 'Capacity calculation' });
  await panel.waitFor();
  expect(await sumOn(panel)).toEqual([...now.sum.components.map(({ bytes }) => bytes), now.sum.remaining]);
  expect(complaints).toEqual([]);
  await close();
});

it('moves the waterline while QEMU writes into an image, without a reload', async () => {
  const { page, complaints, close } = await openPage(browser, daemon.url);
  await page.evaluate('window.isTheSame = true');
  const height = async (): Promise<number> => Number(await cardOf(page).locator('rect.cargo.images').getAttribute('height'));
  const row = page.getByRole('row').filter({ hasText: 'web.qcow2' });
  const allocation = async (): Promise<number> => Number(await row.locator('td[data-label="Allocation"] data').getAttribute('value'));
  const [before, headroom] = [await height(), await figure(cardOf(page), 'headroom')];
  const heights: number[] = [before];
  for (const [offset, length] of [
    [0, 32],
    [32, 32],
  ] as const) {
    await qemuIo({ path: join(images, 'web.qcow2'), format: 'qcow2' }, [`write -q ${offset}M ${length}M`]);
    await expect.poll(height).toBeGreaterThan((heights.at(-1) ?? 0) + 5);
    await expect.poll(allocation).toBeGreaterThan((offset + length) * MiB);
    heights.push(await height());
  }
  // What is written had been promised before, but for a part of the map of the file that contiguous writes did not take.
  expect(Math.abs((await figure(cardOf(page), 'headroom')) - headroom)).toBeLessThan(8 * MiB);
  expect(await page.evaluate('window.isTheSame')).toBe(true);
  expect(complaints).toEqual([]);
  await close();
});

it('answers an admission check with the sum of plimsoll admit, reserves the space, shows it in list and hull, and releases it', async () => {
  const { page, complaints, close } = await openPage(browser, daemon.url, '#/admission');
  await page.getByLabel('Store').selectOption({ label: store.path });
  await page.getByLabel('Capacity').fill('48M');
  await page.getByRole('button', { name: 'Check' }).click();
  await page.getByText('Yes, it fits').waitFor();
  const { stdout } = await daemon.ask('admit', '--size', '48M', '-f', 'qcow2', '--store', images, '--json');
  const { sum, bytes } = JSON.parse(stdout) as AdmissionDecision;
  expect(await sumOn(page.locator('.decision'))).toEqual([...sum.components.map((component) => component.bytes), sum.remaining]);
  await page.getByLabel('Key').fill('web 7');
  await page.getByRole('button', { name: 'Reserve', exact: true }).click();
  await page.getByText(/^Reserved: .* under the key web 7, until/).waitFor();
  await page.getByRole('link', { name: 'All reservations' }).click();
  const row = page.getByRole('row', { name: /web 7/ });
  expect(await row.locator('data').getAttribute('value')).toBe(String(bytes));
  expect(await row.getByText('in 15 min').count()).toBe(1);
  await page.getByRole('link', { name: 'Stores' }).click();
  await cardOf(page).locator('rect.cargo.reserved').waitFor();
  expect(await figure(cardOf(page), 'reserved')).toBe(bytes);
  await page.getByRole('link', { name: 'Reservations' }).click();
  await keepScreenshot(page, 'live-reservations');
  await page.getByRole('button', { name: 'Release web 7' }).click();
  await page.getByRole('button', { name: 'Yes, release' }).click();
  await row.waitFor({ state: 'detached' });
  await page.getByLabel(/ended/).check();
  await row.getByText('released').waitFor();
  await page.getByRole('link', { name: 'Stores' }).click();
  await cardOf(page).locator('rect.cargo.reserved').waitFor({ state: 'detached' });
  expect(complaints).toEqual([]);
  await close();
});

it('gives the reason when a reservation no longer fits', async () => {
  const { page, close } = await openPage(browser, daemon.url, '#/admission');
  await page.getByLabel('Store').selectOption({ label: store.path });
  await page.getByLabel('Capacity').fill('100M');
  await page.getByRole('button', { name: 'Check' }).click();
  await page.getByText('Yes, it fits').waitFor();
  const other = await daemon.ask('admit', '--size', '100M', '--store', images, '--reserve', '--key', 'other');
  expect(other.code).toBe(0);
  await page.getByLabel('Key').fill('late');
  await page.getByRole('button', { name: 'Reserve', exact: true }).click();
  const problem = page.getByRole('alert');
  await problem.waitFor();
  expect(await problem.textContent()).toMatch(/does not fit .* short by/);
  await close();
});

it('turns red above the load line, and announces each change of level', async () => {
  const { page, complaints, close } = await openPage(browser, daemon.url);
  const card = cardOf(page);
  await card.getByText('Fits now', { exact: true }).waitFor();
  expect(await page.getByRole('heading', { level: 1 }).textContent()).toMatch(/^The store is not overcommitted/);
  await qemuImg(images, 'create', '-q', '-f', 'raw', 'too-much.raw', '400M');
  await page.locator('[aria-live]', { hasText: /^warning: .*short by/ }).waitFor({ state: 'attached' });
  await card.locator('.verdict', { hasText: /^Overcommitted by [23]\d\d\.\d\d MiB\. Not every future guest write fits/ }).waitFor();
  await page.getByRole('heading', { level: 1, name: 'The store is overcommitted' }).waitFor();
  await card.locator('svg.hull.over .surface').waitFor();
  const line = await page.evaluate<string>('getComputedStyle(document.querySelector(".surface")).stroke');
  const danger = await page.evaluate<string>('getComputedStyle(document.querySelector(".badge.danger")).color');
  expect(line).toBe(danger);
  expect(await page.getByRole('listitem').filter({ hasText: 'short by' }).count()).toBe(1);
  await qemuIo({ path: join(images, 'too-much.raw'), format: 'raw' }, ['write -q 0 190M']);
  await page.locator('[aria-live="assertive"]', { hasText: /^critical: / }).waitFor({ state: 'attached' });
  await page.getByRole('link', { name: 'Moves that make it fit again' }).click();
  await page.locator('.plan').getByText('too-much.raw').waitFor();
  await keepScreenshot(page, 'live-alerts');
  expect(await seriousViolations(page)).toEqual([]);
  rmSync(join(images, 'too-much.raw'));
  await page.getByText('No active alerts.').waitFor();
  expect(complaints).toEqual([]);
  await close();
});

it('reports a lost daemon, and reconnects', async () => {
  const { page, close } = await openPage(browser, daemon.url);
  await cardOf(page).waitFor();
  await daemon.kill();
  await page.getByRole('alert').filter({ hasText: 'Data may be out of date' }).waitFor();
  expect(await cardOf(page).count()).toBe(1);
  await qemuIo({ path: join(images, 'web.qcow2'), format: 'qcow2' }, ['write -q 0 8M']);
  await daemon.again();
  await page.getByText('live', { exact: true }).waitFor();
  await page.getByText('Data may be out of date').waitFor({ state: 'detached' });
  await expect.poll(() => figure(cardOf(page), 'images')).toBeGreaterThan(8 * MiB);
  await close();
});

it('asks for the token of a daemon that requires one', async () => {
  await daemon.close();
  const token = 'only-for-those-who-know-it'.repeat(2);
  writeFileSync(join(store.path, 'token'), `${token}\n`, { mode: 0o600 });
  daemon = await serve(RULES.replace('[rules]', `token_file = "${join(store.path, 'token')}"\n[rules]`));
  const page = await browser.newPage();
  await page.goto(daemon.url);
  const field = page.getByLabel('Token');
  await field.fill('a guess');
  await page.getByRole('button', { name: 'Open' }).click();
  await page.getByText('Invalid token').waitFor();
  await field.fill(token);
  await page.getByRole('button', { name: 'Open' }).click();
  await cardOf(page).waitFor();
  await page.getByText('live', { exact: true }).waitFor();
  expect(await field.count()).toBe(0);
  await page.close();
});

it('shows hostile names escaped on every page that has them, and executes none', async () => {
  const shown: readonly (readonly [string | Buffer, string])[] = [
    ['two\nlines.qcow2', 'two\\nlines.qcow2'],
    ['\u001b[31mred\u001b[0m.qcow2', '\\x1b[31mred\\x1b[0m.qcow2'],
    ['<img src=x onerror=alert(1)>.qcow2', '<img src=x onerror=alert(1)>.qcow2'],
    ['abc\u202e2wocq.exe.qcow2', 'abc\\u202e2wocq.exe.qcow2'],
    [Buffer.from('bad\xff\xfe.qcow2', 'latin1'), 'bad\\udcff\\udcfe.qcow2'],
  ];
  for (const [name] of shown) {
    await qemuImg(images, 'create', '-q', '-f', 'qcow2', 'next.qcow2', '1M');
    renameSync(join(images, 'next.qcow2'), Buffer.concat([Buffer.from(`${images}/`), Buffer.from(name)]));
  }
  const { page, complaints, close } = await openPage(browser, daemon.url, '#/images');
  const links = page.getByRole('rowheader').getByRole('link');
  const expected = [...shown.map(([, text]) => text), 'web.qcow2'].map((text) => `${images}/${text}`).sort();
  await expect.poll(async () => (await links.allTextContents()).sort()).toEqual(expected);
  await keepScreenshot(page, 'live-names');
  for (const [, text] of shown) {
    await page.goto(`${daemon.url}#/images`);
    await links.filter({ hasText: text }).click();
    await page.getByRole('heading', { level: 1 }).filter({ hasText: text }).waitFor();
    await page.getByRole('table', { name: /sum to the commitment/ }).waitFor();
  }
  expect(await page.locator('main img').count()).toBe(0);
  expect(complaints).toEqual([]);
  await close();
});
