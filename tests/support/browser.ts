/** Debian's chromium, with what a page must not do: complain, or ask anybody but its own server. */
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { tokenOf } from './access.ts';
import { ROOT } from './root.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Ignored by git; what the pages look like, to be looked at. */
const ARTEFACTS = join(ROOT, 'artefacts', 'dashboard');

export interface Watched {
  readonly page: Page;
  /** Errors and warnings of the console, and requests that left the server's origin. */
  readonly complaints: readonly string[];
  readonly close: () => Promise<void>;
}

export function openBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
}

/** The page at `base` + `address` in a fresh context, with its heading there. */
export async function openPage(browser: Browser, base: string, address = '', options: BrowserContextOptions = {}): Promise<Watched> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce', ...options });
  const token = tokenOf(base);
  if (token !== undefined) await context.addInitScript(`sessionStorage.setItem('plimsoll-token', ${JSON.stringify(token)})`);
  const page = await context.newPage();
  page.setDefaultTimeout(2 * 60_000);
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(base)) complaints.push(`asked for ${request.url()}`);
  });
  await page.goto(base + address);
  await page.getByRole('heading', { level: 1 }).waitFor();
  await page.getByText('live', { exact: true }).waitFor();
  return { page, complaints, close: () => context.close() };
}

/** What axe-core calls serious or critical, one line each. */
export async function seriousViolations(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  const violations = await page.evaluate<readonly AxeViolation[]>('axe.run(document).then((result) => result.violations)');
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(' | ')}`);
}

interface AxeViolation {
  readonly id: string;
  readonly impact: string;
  readonly help: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

/** Pixels by which the page is wider than its window. */
export function overhang(page: Page): Promise<number> {
  return page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
}

export async function keepScreenshot(page: Page, name: string): Promise<void> {
  const path = join(ARTEFACTS, `${name}.png`);
  mkdirSync(dirname(path), { recursive: true });
  await page.screenshot({ path, fullPage: true });
}
