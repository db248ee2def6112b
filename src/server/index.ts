/** The daemon's server: HTTP on a TCP address and a Unix socket, in front of a `StoreService`. */
export { DEFAULT_LISTEN, DEFAULT_PORT, hostAndPort, isLoopback, parseListen, type TcpAddress } from './address.ts';
export { LOG_LEVELS, type LogLevel, openLog } from './log.ts';
export { type AccessToken, openServer, type RunningServer, type ServerLimits, type ServerOptions } from './server.ts';
export { ensureToken, type GeneratedToken, readToken } from './token.ts';
export { MAX_METRIC_IMAGES, METRICS_CONTENT_TYPE, metricsChunks, metricsText } from './metrics.ts';
