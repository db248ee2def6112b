/** Read-only routes: stores, images, history, moves, alerts, reservations. */
import { Type } from 'typebox';
import { PlimsollError } from '#base';
import type { StoreService } from '#service';
import type { HistoryQuery, ImageQuery } from '#wire';
import { answers } from './answers.ts';
import {
  AlertSchema,
  HistoryQuerySchema,
  IdParameters,
  ImagePageSchema,
  ImageQuerySchema,
  ImageSampleSchema,
  ImageViewSchema,
  MovePlanSchema,
  MovesQuerySchema,
  ReservationSchema,
  ReservationsQuerySchema,
  StatusReportSchema,
  StoreSampleSchema,
  StoreViewSchema,
} from '#wire/schemas';
import type { TypedApp } from './type-provider.ts';

export function addReadRoutes(app: TypedApp, service: StoreService): void {
  app.get('/status', { schema: answers('All stores, and findings about the daemon', StatusReportSchema) }, () => service.status());
  app.get('/stores', { schema: answers('All stores', Type.Array(StoreViewSchema)) }, () => service.queryStores());
  app.get('/stores/:id', { schema: { ...answers('One store', StoreViewSchema, 404), params: IdParameters } }, ({ params }) =>
    service.queryStore(params.id),
  );
  app.get(
    '/images',
    { schema: { ...answers('Images, sorted, filtered, a page at a time', ImagePageSchema, 404), querystring: ImageQuerySchema } },
    ({ query }) => service.queryImages(withOrder(query as Partial<ImageQuery> & Omit<ImageQuery, 'descending'>)),
  );
  app.get('/images/:id', { schema: { ...answers('One image', ImageViewSchema, 404), params: IdParameters } }, ({ params }) =>
    service.queryImage(params.id),
  );
  addHistoryRoutes(app, service);
  app.get(
    '/stores/:id/moves',
    {
      schema: {
        ...answers('Images to move off the store to return it below its level', MovePlanSchema, 404),
        params: IdParameters,
        querystring: MovesQuerySchema,
      },
    },
    ({ params, query }) => service.planMoves(params.id, query.target),
  );
  app.get('/alerts', { schema: answers('Active alerts', Type.Array(AlertSchema)) }, () => service.queryAlerts());
  app.get(
    '/reservations',
    { schema: { ...answers('Reservations', Type.Array(ReservationSchema), 404), querystring: ReservationsQuerySchema } },
    ({ query }) => service.queryReservations(query),
  );
}

function addHistoryRoutes(app: TypedApp, service: StoreService): void {
  app.get(
    '/stores/:id/history',
    {
      schema: {
        ...answers('History of a store', Type.Array(StoreSampleSchema), 404),
        params: IdParameters,
        querystring: HistoryQuerySchema,
      },
    },
    ({ params, query }) => service.storeHistory(params.id, stretchOf(query)),
  );
  app.get(
    '/images/:id/history',
    {
      schema: {
        ...answers('History of an image', Type.Array(ImageSampleSchema), 404),
        params: IdParameters,
        querystring: HistoryQuerySchema,
      },
    },
    ({ params, query }) => service.imageHistory(params.id, stretchOf(query)),
  );
}

const DAY_MS = 86_400_000;

/** Throws: usage, HISTORY_RANGE. */
function stretchOf({ from, to, points }: { from?: string; to?: string; points: number }): HistoryQuery {
  const toMs = to === undefined ? Date.now() : timeOf('to', to);
  const fromMs = from === undefined ? toMs - DAY_MS : timeOf('from', from);
  if (fromMs <= toMs) return { fromMs, toMs, points };
  throw badRange('from', from ?? '', 'a time before `to`');
}

function timeOf(field: string, text: string): number {
  const ms = /^\d{1,15}$/.test(text) ? Number(text) : Date.parse(text);
  if (Number.isFinite(ms)) return ms;
  throw badRange(field, text, 'ISO 8601 such as 2026-11-23T12:00:00Z, or milliseconds since 1970');
}

function badRange(field: string, found: string, expected: string): PlimsollError {
  return new PlimsollError('usage', 'HISTORY_RANGE', { doing: 'parse request', field, found, expected });
}

/** Highest risk and largest first, and paths from a to z, unless requested otherwise. */
function withOrder(query: Partial<ImageQuery> & Omit<ImageQuery, 'descending'>): ImageQuery {
  return { ...query, descending: query.descending ?? query.sort !== 'path' };
}
