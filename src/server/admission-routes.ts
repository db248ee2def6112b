/** The routes that decide and hold: admission, reservations, rescans. */
import type { Socket } from 'node:net';
import { Type } from 'typebox';
import { PlimsollError } from '#base';
import type { StoreService } from '#service';
import type { AdmissionDecision, ReservationRefusal } from '#wire';
import { answers, described, errorAnswers } from './answers.ts';
import {
  AdmissionDecisionSchema,
  AdmissionRequestSchema,
  ApiErrorSchema,
  KeyParameters,
  RescanAnswerSchema,
  RescanRequestSchema,
  ReservationRefusalSchema,
  ReservationRequestSchema,
  ReservationSchema,
} from '#wire/schemas';
import type { TypedApp } from './type-provider.ts';

/**
 * `decisionMs`: time limit of a decision, which scans the store first: a filesystem that hangs must not block the client for
 * ever.
 */
export function addAdmissionRoutes(
  app: TypedApp,
  service: StoreService,
  decisionMs: number,
  holderOf: (socket: Socket) => string | undefined,
): void {
  app.post(
    '/admission/check',
    {
      schema: {
        ...answers('Check admission (always 200)', AdmissionDecisionSchema, 404, 413, 415, 422),
        body: AdmissionRequestSchema,
      },
    },
    ({ body }) => withTimeout(service.checkAdmission(body), decisionMs),
  );
  addReserve(app, service, decisionMs, holderOf);
  app.delete(
    '/reservations/:key',
    { schema: { ...answers('Release the reservation with this key', ReservationSchema, 404, 409), params: KeyParameters } },
    ({ params }) => service.release(params.key),
  );
  app.post(
    '/rescan',
    {
      schema: {
        summary: 'Start a full rescan; returns immediately, and events report its end',
        body: RescanRequestSchema,
        response: { 202: described(RescanAnswerSchema, 'Started'), ...errorAnswers([404, 413, 415]) },
      },
    },
    async ({ body, log }, reply) => {
      const stores = body.store === undefined ? await service.queryStores() : [await service.queryStore(body.store)];
      service.rescan(body.store).catch((error: unknown) => log.error({ err: error }, 'a requested rescan failed'));
      return reply.status(202).send({ rescanning: stores.map(({ id }) => id) });
    },
  );
}

function addReserve(app: TypedApp, service: StoreService, decisionMs: number, holderOf: (socket: Socket) => string | undefined): void {
  app.post(
    '/admission/reserve',
    {
      schema: {
        summary: 'Reserve space, if it fits',
        body: ReservationRequestSchema,
        response: {
          200: described(AdmissionDecisionSchema, 'Already reserved with this key'),
          201: described(AdmissionDecisionSchema, 'Reserved'),
          ...errorAnswers([404, 413, 415, 422]),
          409: described(
            Type.Union([ReservationRefusalSchema, ApiErrorSchema]),
            'It does not fit, with the calculation; or the key reserves a different request, without one',
          ),
        },
      },
    },
    async ({ body, log, raw }, reply) => {
      const arrivedMs = Date.now();
      const decision = await withTimeout(service.reserve({ ...body, holder: holderOf(raw.socket) }), decisionMs);
      const { store, bytes, admitted, reservation } = decision;
      log.info({ key: body.key, store, bytes, admitted, held: reservation !== null }, 'reservation');
      if (reservation === null) return reply.status(409).send(refusalOf(decision));
      return reply.status(Date.parse(reservation.createdAt) < arrivedMs ? 200 : 201).send(decision);
    },
  );
}

/**
 * The decision, if it comes in time. Fastify's own handlerTimeout ends with the body of the request and never comes for these.
 *
 * Throws: busy, ANSWER_TOO_SLOW.
 */
async function withTimeout<T>(decision: Promise<T>, milliseconds: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const found = `no decision within ${milliseconds / 1000} s`;
      reject(new PlimsollError('busy', 'ANSWER_TOO_SLOW', { doing: 'answer the request', found, expected: 'a store that can be scanned' }));
    }, milliseconds);
  });
  try {
    return await Promise.race([decision, late]);
  } finally {
    clearTimeout(timer);
  }
}

function refusalOf(decision: AdmissionDecision): ReservationRefusal {
  const error = new PlimsollError(
    'conflict',
    decision.admitted === null ? 'FIT_UNKNOWN' : 'DOES_NOT_FIT',
    { doing: 'reserve' },
    decision.message,
  );
  return { error: error.toJSON(), decision };
}
