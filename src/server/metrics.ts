/** The metrics page for Prometheus. */
import type { Watch } from '#pool';

/** The text of /metrics, in Prometheus's format. */
export function metricsText(watch: Watch): string {
  return `# TYPE plimsoll_stores gauge\nplimsoll_stores ${watch.stores().length}\n`;
}
