/** The dashboard in Debian's chromium, in front of the daemon and its demonstration store. */
import { afterAll, beforeAll } from 'vitest';
import { sampled } from '../support/depth.ts';
import { LiveDaemon } from '../support/live-daemon.ts';
import { describeDashboard, LOOKS } from './dashboard-suite.ts';

let daemon: LiveDaemon | undefined;
beforeAll(async () => {
  daemon = await LiveDaemon.start('--demo');
});
afterAll(() => daemon?.close());

describeDashboard('plimsoll serve --demo', () => daemon?.url ?? '', 'demo', sampled(Object.entries(LOOKS), 3));
