/** The application of all listeners: routes, limits, one body for all errors. It opens no listener itself. */
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { fastify, type FastifyBaseLogger, type FastifyReply, type FastifyRequest, LogController } from 'fastify';
import { jsonText, PlimsollError } from '#base';
import type { StoreService } from '#service';
import { addAdmissionRoutes } from './admission-routes.ts';
import { addDashboard, SECURITY_HEADERS } from './dashboard.ts';
import type { EventStream } from './events.ts';
import { authorize, type Listener, isEntitled, type OpenPart } from './access.ts';
import { addOpenApi } from './openapi.ts';
import { noSuchRoute, problemOf, requireJson } from './problems.ts';
import { addReadRoutes } from './read-routes.ts';
import type { TypedApp } from './type-provider.ts';
import { validatorCompiler } from './validation.ts';

export interface AppParts {
  readonly service: StoreService;
  readonly events: EventStream;
  readonly log: FastifyBaseLogger;
  readonly version: string;
  /** The built dashboard. */
  readonly webDirectory: string | undefined;
  /** Until a decision has to be there. */
  readonly decisionMs: number;
  /** The user behind a connection, for quotas; undefined: unknown. */
  readonly holderOf: (socket: Socket) => string | undefined;
  /** How a connection came in; undefined for one too many. */
  readonly listenerOf: (socket: Socket) => Listener | undefined;
}

export const BODY_LIMIT = 64 * 1024;
/** Ids of stores and images in addresses, percent signs included. */
const MAX_PARAMETER_LENGTH = 4096;

export async function buildApp(parts: AppParts): Promise<TypedApp> {
  const { service, log, version, webDirectory } = parts;
  const app: TypedApp = fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_LIMIT,
    routerOptions: { maxParamLength: MAX_PARAMETER_LENGTH },
    return503OnClosing: false,
    // Failures before routing, such as an address that cannot be decoded, have the same error body.
    frameworkErrors: (error, request, reply) => void answerError(error, request, reply.headers(SECURITY_HEADERS)),
  });
  app.setValidatorCompiler(validatorCompiler);
  // The service's data is sent unchanged. Fastify's own serialiser drops properties that a schema lacks, and turns null into 0.
  app.setSerializerCompiler(() => jsonText);
  addErrors(app);
  addAccessControl(app, parts);
  takeJsonOnly(app);
  await addOpenApi(app, version);
  await app.register(
    (api: TypedApp, _options, done) => {
      addReadRoutes(api, service);
      addAdmissionRoutes(api, service, parts.decisionMs, parts.holderOf);
      addEvents(api, parts.events);
      done();
    },
    { prefix: '/api/v1' },
  );
  addMetrics(app, parts);
  await addDashboard(app, webDirectory);
  await app.ready();
  return app;
}

/** All samples for a request with the token or by the socket, else those without names of images and mount points. */
function addMetrics(app: TypedApp, { service, listenerOf }: AppParts): void {
  app.get('/metrics', { schema: { hide: true } }, async (request, reply) => {
    const { METRICS_CONTENT_TYPE, metricsChunks } = await import('./metrics.ts');
    const listener = listenerOf(request.raw.socket);
    const chunks = metricsChunks(service, listener !== undefined && isEntitled(request.raw, listener) ? 'all' : 'nameless');
    // A failure at the start still gets a response of its own.
    const first = await chunks.next();
    return reply.type(METRICS_CONTENT_TYPE).send(Readable.from(prepend(first.value ?? Buffer.alloc(0), chunks), { objectMode: false }));
  });
}

async function* prepend(first: Buffer, others: AsyncGenerator<Buffer, void, void>): AsyncGenerator<Buffer, void, void> {
  yield first;
  yield* others;
}

function addAccessControl(app: TypedApp, { listenerOf }: AppParts): void {
  app.addHook('onRequest', (request, reply, done) => {
    void reply.headers(SECURITY_HEADERS);
    const listener = listenerOf(request.raw.socket);
    if (listener === undefined) {
      void reply.headers({ connection: 'close', 'retry-after': '1' });
      throw new PlimsollError('busy', 'CONNECTIONS_MANY', {
        doing: 'answer the request',
        found: 'too many connections',
        expected: 'fewer; retry later',
      });
    }
    authorize(request.raw, listener, openPartOf(request));
    if (request.method === 'POST') requireJson(request.headers['content-type']);
    if (isApi(request.routeOptions.url ?? request.url)) void reply.header('cache-control', 'no-store');
    done();
  });
  app.addHook('onResponse', ({ method, url, log }, reply, done) => {
    log.debug({ method, url, status: reply.statusCode, ms: Math.round(reply.elapsedTime) }, 'answered');
    done();
  });
}

/**
 * The files of the dashboard hold no data, and a browser must get them before it can send the token. The route that was
 * found decides, since the router decodes an address (`/%61pi`); the address itself, where none was.
 */
function openPartOf({ method, url, routeOptions }: FastifyRequest): OpenPart {
  if (method !== 'GET' && method !== 'HEAD') return 'nothing';
  if (routeOptions.url === '/metrics') return 'figures';
  return [url, routeOptions.url ?? ''].some((one) => isApi(one) || isMetrics(one)) ? 'nothing' : 'all';
}

function isMetrics(url: string): boolean {
  return /^\/+metrics(?![\w-])/.test(url);
}

function isApi(url: string): boolean {
  return /^\/+api(?![\w-])/.test(url);
}

function addErrors(app: TypedApp): void {
  app.setErrorHandler(answerError);
  app.setNotFoundHandler((request, reply) => answerError(noSuchRoute(request.method, request.url.slice(0, 200)), request, reply));
}

function answerError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { status, body, isInternal } = problemOf(thrown);
  if (isInternal) request.log.error({ err: thrown, method: request.method, url: request.url }, 'a request could not be answered');
  if (status === 401) void reply.header('www-authenticate', 'Bearer realm="plimsoll"');
  if (status === 503) void reply.header('retry-after', '1');
  return reply.status(status).type('application/json; charset=utf-8').serializer(jsonText).send(body);
}

/** No forms, no plain text; an empty body is no body. */
function takeJsonOnly(app: TypedApp): void {
  app.removeAllContentTypeParsers();
  const parse = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined);
    else void parse(request, body.toString(), done);
  });
}

function addEvents(api: TypedApp, events: EventStream): void {
  const schema = { summary: 'Server-sent events: `hello` with all stores, then every change', produces: ['text/event-stream'] };
  api.get('/events', { exposeHeadRoute: false, schema }, async ({ log }, reply) => {
    events.requireRoom();
    reply.hijack();
    await events.add(reply.raw, SECURITY_HEADERS).catch((error: unknown) => {
      log.error({ err: error }, 'a subscription failed');
      reply.raw.destroy();
    });
  });
}
