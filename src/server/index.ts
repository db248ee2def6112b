/** What a daemon says to the network: metrics. */
export { MAX_METRIC_IMAGES, METRICS_CONTENT_TYPE, metricsChunks, metricsText } from './metrics.ts';
