/** The dashboard in Debian's chromium: what it does with any server, and what it does when fixtures go wrong. */
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { keepScreenshot, openBrowser, openPage, seriousViolations } from '../support/browser.ts';
import { FixtureServer } from '../support/fixture-server.ts';
import { aStore, HOSTILE_NAMES } from '../support/fixture-stores.ts';
import { describeDashboard } from './dashboard-suite.ts';

const given = process.env['PLIMSOLL_DASHBOARD_URL'];
let shared: FixtureServer | undefined;
let sharedBase = given ?? '';

beforeAll(async () => {
  if (given !== undefined) return;
  shared = new FixtureServer();
  sharedBase = await shared.listen();
});
afterAll(() => shared?.close());

describeDashboard(given ?? 'fixtures', () => sharedBase, 'fixtures');

describe('the dashboard, live', () => {
  let browser: Browser;
  let server: FixtureServer;
  let base: string;
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser.close());
  beforeEach(async () => {
    server = new FixtureServer();
    base = await server.listen();
  });
  afterEach(() => server.close());

  it('moves the waterline while a store fills, and turns red when it is overcommitted', async () => {
    const { page, complaints, close } = await openPage(browser, base);
    const card = page.getByRole('article', { name: '/srv/vm' });
    await card.getByText('Fits', { exact: true }).waitFor();
    const surface = (): Promise<string | null> => card.locator('.surface').getAttribute('d');
    const before = await surface();
    server.grow(1000);
    await expect.poll(surface).not.toBe(before);
    await card.locator('.verdict', { hasText: '187.00 GiB remaining' }).waitFor();
    for (let used = 1000; used <= 1200; used++) server.grow(used);
    await card.locator('.verdict', { hasText: 'Overcommitted by 13.00 GiB. Not every future guest write fits.' }).waitFor();
    await card.getByText('Overcommitted', { exact: true }).waitFor();
    await page.locator('[aria-live="assertive"]', { hasText: 'critical: the promises exceed the store' }).waitFor({ state: 'attached' });
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe('3 of 5 stores are in critical state');
    expect(complaints).toEqual([]);
    await close();
  });

  it('reports a lost connection and the age of the figures, and reconnects', async () => {
    const { page, close } = await openPage(browser, base);
    await page.getByRole('article').first().waitFor();
    const { port } = server;
    await server.close();
    await page.getByRole('alert').filter({ hasText: 'Data may be out of date' }).waitFor();
    await page.getByText(/Last contact .* (next attempt in|retrying)/).waitFor();
    await page.locator('main.stale').waitFor();
    await keepScreenshot(page, 'lost');
    expect(await seriousViolations(page)).toEqual([]);
    server = new FixtureServer();
    await server.listen(port);
    await page.getByText('live', { exact: true }).waitFor();
    await page.getByText('Data may be out of date').waitFor({ state: 'detached' });
    await close();
  });

  it('shows hostile names escaped, and executes none', async () => {
    const { page, complaints, close } = await openPage(browser, base, '#/store/uuid%3A2222-near');
    await page.getByText('25 of 42').waitFor();
    await page.getByRole('columnheader', { name: 'Image' }).getByRole('button').click();
    const search = page.getByLabel('Part of the path');
    for (const [text, shown] of [
      ['onerror', HOSTILE_NAMES[0]],
      ['two', 'two\\nlines.qcow2'],
      ['2wocq', 'abc\\u202e2wocq.exe'],
      ['[31m', '\\x1b[31mred\\x1b[0m.qcow2'],
      ['utf8', 'bad\\ufffd\\udc80utf8.qcow2'],
    ] as const) {
      await search.fill(text);
      await expect.poll(() => page.getByRole('rowheader').getByRole('link').allTextContents()).toEqual([`/srv/fast/${shown}`]);
    }
    expect(await page.locator('main img').count()).toBe(0);
    expect(complaints).toEqual([]);
    await close();
  });

  it('never loads more than one page of 10,000 images', async () => {
    const { page, close } = await openPage(browser, base, '#/store/uuid%3A1111-healthy');
    await page.getByText('1–25 of 10,000').waitFor();
    await page.getByRole('button', { name: 'Next' }).click();
    await page.getByText('26–50 of 10,000').waitFor();
    expect(await page.locator('.images tbody tr').count()).toBe(25);
    await close();
  });

  it('links an image to its backing file and back to its overlays', async () => {
    const { page, close } = await openPage(browser, base, '#/image/uuid%3A1111-healthy%3A3');
    await page.getByRole('link', { name: '/srv/vm/base/ debian-13.qcow2' }).or(page.locator('.tree a')).first().click();
    await page.getByRole('heading', { level: 1, name: 'debian-13.qcow2' }).waitFor();
    await page.getByText('overlay').first().waitFor();
    expect(await page.title()).toContain('plimsoll');
    await close();
  });

  it('refuses with a sum, reserves on request, lists reservations, and confirms before a release', async () => {
    const { page, complaints, close } = await openPage(browser, base, '#/admission/uuid%3A1111-healthy');
    await page.getByLabel('Capacity').fill('4T');
    await page.getByRole('button', { name: 'Check' }).click();
    await page.getByText('No, it does not fit').waitFor();
    await page.getByLabel('Capacity').fill('40G');
    await page.getByRole('button', { name: 'Check' }).click();
    await page.getByText('Yes, it fits').waitFor();
    await page.getByLabel('Lifetime').fill('soon');
    await page.getByRole('button', { name: 'Reserve', exact: true }).click();
    await page.getByText('Enter a key').waitFor();
    await page.getByLabel('Key').fill('ticket-1');
    await page.getByLabel('Lifetime').fill('2h');
    await page.getByRole('button', { name: 'Reserve', exact: true }).click();
    await page.getByText(/^Reserved: 40.01 GiB under the key ticket-1/).waitFor();
    await page.getByRole('link', { name: 'All reservations' }).click();
    await page
      .getByRole('row', { name: /ticket-1/ })
      .getByText('in 2 h')
      .waitFor();
    await page.getByRole('button', { name: 'Release ticket-1' }).click();
    await page.getByRole('button', { name: 'Yes, release' }).click();
    await page.getByRole('row', { name: /ticket-1/ }).waitFor({ state: 'detached' });
    expect(complaints).toEqual([]);
    await close();
  });

  it('shows the message of the server when it refuses a request', async () => {
    const { page, close } = await openPage(browser, base, '#/admission/uuid%3A1111-healthy');
    await page.getByLabel('Capacity').fill('1G');
    await page.getByLabel('Options').fill('wrong=1');
    await page.getByRole('button', { name: 'Check' }).click();
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.textContent()).toBe('Cannot parse the options: wrong is no option of qcow2');
    await close();
  });

  it('gives the reason for a missing forecast, and the images to move off an overcommitted store', async () => {
    const { page, close } = await openPage(browser, base, '#/store/uuid%3A4444-btrfs');
    const reason = page.locator('figcaption', { hasText: 'No forecast:' });
    await reason.waitFor();
    expect(await reason.textContent()).toContain('the history spans 7 min, 1 day is needed');
    await page.goto(`${base}#/alerts`);
    const plan = page.getByText('Shortfall now');
    await plan.waitFor();
    expect(await plan.textContent()).toMatch(/Shortfall now: 109.00 GiB; after all moves: /);
    await close();
  });

  it('shows one verdict and one number under a policy other than promise: its headroom comes second, without alarm', async () => {
    await server.close();
    const GiB = 2 ** 30;
    const store = aStore({ id: 'uuid:1', mount: '/srv/vm', sizeGiB: 500, usedGiB: 371, imagesGiB: 350, residualGiB: 246, imageCount: 9 });
    const sum = { ...store.sum, policy: 'entitled' as const, remaining: 42 * GiB, unknown: null };
    const view = {
      ...store,
      level: 'ok' as const,
      alerts: [],
      rules: { ...store.rules, policy: 'entitled' as const },
      sum,
      headroom: -117 * GiB,
    };
    server = new FixtureServer([view]);
    const { page, close } = await openPage(browser, await server.listen());
    const card = page.getByRole('article');
    await card.waitFor();
    expect(await card.locator('.verdict').textContent()).toContain('42 GiB remaining');
    expect(await card.locator('.legend .strong').allTextContents()).toEqual([expect.stringMatching(/^remaining.*42 GiB/)]);
    const headroom = card.locator('.legend .second');
    expect(await headroom.textContent()).toMatch(/^headroom under the policy promise.*117 GiB/);
    const colourOf = (place: typeof headroom): Promise<string> => place.evaluate('(one) => getComputedStyle(one).color');
    expect(await colourOf(headroom.locator('data'))).toBe(await colourOf(headroom.locator('small')));
    await keepScreenshot(page, 'entitled');
    expect(await seriousViolations(page)).toEqual([]);
    await close();
  });

  it('has a page for a daemon without stores', async () => {
    await server.close();
    server = new FixtureServer([]);
    const { page, close } = await openPage(browser, await server.listen());
    await page.getByRole('heading', { name: 'No store is monitored' }).waitFor();
    expect(await page.locator('main').textContent()).toContain('plimsoll serve /srv/vm');
    await close();
  });

  it('takes the token from the address, removes it there, and keeps it over a reload', async () => {
    server.token = 'the right one';
    const { page, close } = await openPage(browser, base, `#token=${encodeURIComponent(server.token)}`);
    expect(await page.evaluate('location.href')).toBe(base);
    await page.reload();
    await page.getByText('live', { exact: true }).waitFor();
    await page.evaluate("location.hash = '#token=wrong'");
    await page.getByText('Invalid token').waitFor();
    expect(await page.evaluate('location.href')).toBe(base);
    server.token = undefined;
    await close();
  });

  it('asks for the token that a server requires, and continues with it', async () => {
    server.token = 'the right one';
    const page = await browser.newPage();
    await page.goto(base);
    const field = page.getByLabel('Token');
    await field.fill('a wrong one');
    await page.getByRole('button', { name: 'Open' }).click();
    await page.getByText('Invalid token').waitFor();
    await field.fill('the right one');
    await page.getByRole('button', { name: 'Open' }).click();
    await page.getByRole('article').first().waitFor();
    expect(await field.count()).toBe(0);
    await page.close();
  });
});
