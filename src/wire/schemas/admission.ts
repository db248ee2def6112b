/** Requests for space, and the answers to them. */
import { Type } from 'typebox';
import { MAX_TTL_SECONDS, MIN_TTL_SECONDS, MAX_KEY_LENGTH } from '../reservation-limits.ts';
import { described, shape, nullable, Bytes, Time, ErrorSchema, HostId, PolicySchema, Assumptions } from './common.ts';
import { PolicySumSchema } from './stores.ts';

/** Nothing need not be held. */
const HeldBytes = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

/** Of a request for space; strict, so that a misspelt key is not overlooked. */
const REQUEST = {
  store: Type.String({ minLength: 1, maxLength: 4096, description: "the store's id, or a path on it" }),
  bytes: described('Bytes to commit; or an image to be created, whose commitment is computed.', Type.Optional(Bytes)),
  image: Type.Optional(
    Type.Object(
      {
        format: Type.Enum(['raw', 'qcow2']),
        capacity: Bytes,
        options: Type.Optional(Type.String({ maxLength: 4096, description: 'as `qemu-img create -o` takes them' })),
      },
      { additionalProperties: false },
    ),
  ),
  policy: described("Instead of the store's own.", Type.Optional(PolicySchema)),
  idleShare: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  assume: described("Declared for this answer, beside what the store's rules declare.", Type.Optional(Assumptions)),
};

export const AdmissionRequestSchema = Type.Object(REQUEST, {
  title: 'AdmissionRequest',
  description: 'exactly one of bytes and image',
  additionalProperties: false,
});

export const ReservationRequestSchema = Type.Object(
  {
    ...REQUEST,
    bytes: Type.Optional(HeldBytes),
    key: Type.String({
      minLength: 1,
      maxLength: MAX_KEY_LENGTH,
      description: 'idempotency key: a repeated request with the same key reserves once',
    }),
    ttlSeconds: Type.Number({ minimum: MIN_TTL_SECONDS, maximum: MAX_TTL_SECONDS }),
    path: Type.Optional(
      Type.String({ minLength: 1, maxLength: 4096, description: 'the image it is for; when that appears, it is released' }),
    ),
    overcommit: described('Hold it even if it does not fit.', Type.Optional(Type.Boolean())),
  },
  { title: 'ReservationRequest', description: 'exactly one of bytes and image', additionalProperties: false },
);

export const ReservationSchema = shape('Reservation', {
  key: Type.String(),
  store: Type.String(),
  bytes: Bytes,
  path: nullable(Type.String()),
  createdAt: Time,
  expiresAt: Time,
  state: described(
    'held; or how it ended: released by its key, expired, fulfilled by the image it was for.',
    Type.Enum(['held', 'released', 'expired', 'fulfilled']),
  ),
});

export const AdmissionDecisionSchema = shape('AdmissionDecision', {
  schema: Type.Literal('plimsoll.admission/1'),
  admitted: described('null: unknown, for the reason in `sum.unknown`.', nullable(Type.Boolean())),
  store: Type.String(),
  host: HostId,
  bytes: described('Bytes that the request would commit.', Bytes),
  sum: described('The sum with the request in it.', PolicySumSchema),
  message: described('The verdict in a sentence.', Type.String()),
  assumed: described("The administrator's declarations that the answer rests on.", Assumptions),
  scannedAt: Time,
  reservation: nullable(ReservationSchema),
});

export const ReservationRefusalSchema = shape('ReservationRefusal', { error: ErrorSchema, decision: AdmissionDecisionSchema });
