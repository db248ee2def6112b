/**
 * What the dashboard must do in front of any server that has a store with images, be it fixtures or a daemon: it asserts
 * on what the page says.
 */
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keepScreenshot, openBrowser, openPage, overhang, seriousViolations } from '../support/browser.ts';

export const LOOKS: Readonly<Record<string, BrowserContextOptions>> = {
  light: { colorScheme: 'light' },
  dark: { colorScheme: 'dark' },
  phone: { colorScheme: 'light', viewport: { width: 360, height: 740 } },
};
const MINUTES = 60_000;

/**
 * `baseUrl` is called when the tests begin; it ends with a slash. Screenshots are named after `artefact`. Every page is checked
 * in each of `looks`.
 */
export function describeDashboard(
  name: string,
  baseUrl: () => string,
  artefact: string,
  looks: readonly (readonly [string, BrowserContextOptions])[] = Object.entries(LOOKS),
): void {
  describe(`the dashboard on ${name}`, () => {
    let browser: Browser;
    beforeAll(async () => {
      browser = await openBrowser();
    });
    afterAll(() => browser.close());

    it('shows the state of every store, with its hull', async () => {
      const { page, complaints, close } = await openPage(browser, baseUrl());
      const cards = page.getByRole('region', { name: 'Stores' }).getByRole('article');
      await cards.first().waitFor();
      expect(await page.getByRole('heading', { level: 1 }).textContent()).toMatch(/store/i);
      for (const card of await cards.all()) {
        expect(await card.getByRole('img').getAttribute('aria-labelledby')).toBeTruthy();
        expect(await card.locator('svg.hull title').textContent()).toMatch(/^Hull of .*load line at/);
        expect(await card.locator('.verdict').textContent()).toMatch(/\.$/);
        expect(await card.textContent()).toMatch(/headroom.*size.*floor.*residual.*images.*Space runs out: /);
      }
      expect(complaints).toEqual([]);
      await close();
    });

    it.each(looks)(
      'on every page, %s: nothing serious for axe-core, nothing on the console, nothing beyond the window',
      async (look, options) => {
        const { page, complaints, close } = await openPage(browser, baseUrl(), '', options);
        for (const [title, address] of await addresses(browser, baseUrl())) {
          await page.goto(baseUrl() + address);
          await settle(page);
          await keepScreenshot(page, `${artefact}-${title}-${look}`);
          expect(await seriousViolations(page), `${title} ${look}`).toEqual([]);
          expect(await overhang(page), `${title} ${look}`).toBe(0);
          expect(complaints, `${title} ${look}`).toEqual([]);
        }
        await close();
      },
      4 * MINUTES,
    );

    it('works by keyboard: skips to the content, explains words on focus, and Escape closes the explanation', async () => {
      const { page, close } = await openPage(browser, baseUrl());
      await page.getByRole('article').first().waitFor();
      await page.keyboard.press('Tab');
      expect(await focused(page)).toBe('Skip to content');
      await page.keyboard.press('Enter');
      expect(await page.evaluate('document.activeElement.id')).toBe('main');
      const term = page.getByRole('button', { name: 'headroom' }).first();
      await term.focus();
      await page.locator('.tooltip', { hasText: 'negative means overcommitted' }).waitFor();
      const described = await term.getAttribute('aria-describedby');
      expect(await page.locator(`#${described}`).textContent()).toMatch(/available - residual - reserved - floor/);
      await page.keyboard.press('Escape');
      expect(await page.locator('.tooltip').isVisible()).toBe(false);
      await close();
    });

    it('sorts images by a figure in both orders, and finds them by their path', async () => {
      const { page, close } = await openPage(browser, baseUrl(), '#/images');
      const head = page.getByRole('columnheader', { name: 'Allocation' });
      await page.getByRole('row').nth(1).waitFor();
      expect(await page.getByRole('columnheader', { name: 'Full' }).getAttribute('aria-sort')).toBe('descending');
      await head.getByRole('button').click();
      await expect.poll(async () => isAscending((await allocations(page)).reverse())).toBe(true);
      expect(await head.getAttribute('aria-sort')).toBe('descending');
      await head.getByRole('button').click();
      await expect.poll(async () => isAscending(await allocations(page))).toBe(true);
      expect(await head.getAttribute('aria-sort')).toBe('ascending');
      await page.getByLabel('Part of the path').fill('no such image anywhere');
      await page.getByText('No image path matches.').waitFor();
      await close();
    });

    it('an image page has components that sum to the commitment', async () => {
      const { page, close } = await openPage(browser, baseUrl(), await readableImage(browser, baseUrl()));
      const table = page.getByRole('table', { name: /sum to the commitment/ });
      const exact = (await table.getByRole('row').locator('td:last-child').allTextContents()).map((text) =>
        Number(text.replaceAll(',', '')),
      );
      const commitment = exact.pop();
      expect(exact.length).toBeGreaterThan(0);
      expect(exact.reduce((sum, bytes) => sum + bytes, 0)).toBe(commitment);
      await close();
    });

    it('the admission form marks invalid fields, and shows a sum that adds up', async () => {
      const { page, complaints, close } = await openPage(browser, baseUrl(), '#/admission');
      const size = page.getByLabel('Capacity');
      await page.getByLabel('Store').selectOption({ index: 1 });
      await size.fill('40GB');
      await page.getByRole('button', { name: 'Check' }).click();
      await page.getByText('powers of 1024').waitFor();
      await expect.poll(() => page.evaluate('document.activeElement.ariaInvalid')).toBe('true');
      expect(await size.getAttribute('aria-invalid')).toBe('true');
      await size.fill('1M');
      await page.getByRole('button', { name: 'Check' }).click();
      await page.getByRole('heading', { name: /fit|Unknown/, level: 2 }).waitFor();
      const bytes = await page.locator('.decision data').evaluateAll(valuesOf);
      bytes.shift(); // what it would commit stands before the sum
      const left = bytes.pop();
      if (await page.getByRole('heading', { name: /fit/, level: 2 }).isVisible()) {
        expect(bytes.reduce((sum, one) => sum + one, 0)).toBe(left);
      }
      expect(complaints).toEqual([]);
      await close();
    });

    it('keeps the chosen theme', async () => {
      const { page, close } = await openPage(browser, baseUrl(), '', { colorScheme: 'light' });
      const background = (): Promise<string> => page.evaluate<string>('getComputedStyle(document.documentElement).backgroundColor');
      const light = await background();
      await page.getByLabel('Theme').selectOption('dark');
      const dark = await background();
      expect(dark).not.toBe(light);
      await page.reload();
      expect(await background()).toBe(dark);
      await close();
    });
  });
}

/** The pages of the first store and of one of its images among them. */
async function addresses(browser: Browser, base: string): Promise<readonly (readonly [string, string])[]> {
  const { page, close } = await openPage(browser, base);
  const store = await page.getByRole('article').getByRole('heading', { level: 2 }).getByRole('link').first().getAttribute('href');
  await close();
  return [
    ['stores', ''],
    ['store', store ?? ''],
    ['images', '#/images'],
    ['image', await readableImage(browser, base)],
    ['admission', store?.replace('#/store/', '#/admission/') ?? ''],
    ['reservations', '#/reservations'],
    ['alerts', '#/alerts'],
    ['nowhere', '#/nowhere'],
  ];
}

async function readableImage(browser: Browser, base: string): Promise<string> {
  const { page, close } = await openPage(browser, base, '#/images');
  const row = page.getByRole('row').filter({ hasNotText: /unreadable|Capacity↕|Image/ });
  await row.first().waitFor();
  const href = await row.first().getByRole('rowheader').getByRole('link').getAttribute('href');
  await close();
  return href ?? '';
}

async function settle(page: Page): Promise<void> {
  await page.waitForLoadState('domcontentloaded');
  await page.locator('[aria-busy="true"]').waitFor({ state: 'detached' });
  await page.waitForTimeout(400);
}

function focused(page: Page): Promise<string> {
  return page.evaluate<string>('document.activeElement.textContent');
}

function allocations(page: Page): Promise<number[]> {
  return page.locator('td[data-label="Allocation"] data').evaluateAll(valuesOf);
}

/** Runs in the page. */
function valuesOf(all: readonly { readonly value?: string }[]): number[] {
  return all.map((one) => Number(one.value));
}

function isAscending(numbers: readonly number[]): boolean {
  return numbers.length > 0 && numbers.every((one, index) => index === 0 || one >= (numbers[index - 1] ?? 0));
}
