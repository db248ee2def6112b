/** Parameters of addresses, and requests without a decision. */
import { Type } from 'typebox';
import { MAX_KEY_LENGTH } from '../reservation-limits.ts';
import { shape } from './common.ts';

// Parameters in addresses.

const Name = Type.String({ minLength: 1, maxLength: 1024 });

export const IdParameters = Type.Object({ id: Name });

export const KeyParameters = Type.Object({ key: Type.String({ minLength: 1, maxLength: MAX_KEY_LENGTH }) });

export const MAX_IMAGES_OF_PAGE = 500;

export const ImageQuerySchema = Type.Object(
  {
    store: Type.Optional(Name),
    search: Type.Optional(Type.String({ maxLength: 1024, description: 'part of the path, letter case ignored' })),
    sort: Type.Enum(['risk', 'path', 'capacity', 'length', 'allocation', 'commitment', 'residual', 'exclusive', 'growth'], {
      default: 'risk',
    }),
    descending: Type.Optional(Type.Boolean({ description: 'the most first; left out: so for all but paths' })),
    offset: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 }),
    limit: Type.Integer({ minimum: 1, maximum: MAX_IMAGES_OF_PAGE, default: 50 }),
  },
  { additionalProperties: false },
);

export const MAX_HISTORY_POINTS = 5000;

export const HistoryQuerySchema = Type.Object(
  {
    from: Type.Optional(Type.String({ maxLength: 40, description: 'ISO 8601, or milliseconds since 1970; else a day before `to`' })),
    to: Type.Optional(Type.String({ maxLength: 40, description: 'ISO 8601, or milliseconds since 1970; else now' })),
    points: Type.Integer({ minimum: 2, maximum: MAX_HISTORY_POINTS, default: 500 }),
  },
  { additionalProperties: false },
);

export const MovesQuerySchema = Type.Object({ target: Type.Optional(Name) }, { additionalProperties: false });

export const ReservationsQuerySchema = Type.Object(
  {
    store: Type.Optional(Name),
    ended: Type.Boolean({ default: false, description: 'also those that were released, have expired or were fulfilled' }),
  },
  { additionalProperties: false },
);

export const RescanRequestSchema = Type.Object(
  { store: Type.Optional(Name) },
  { title: 'RescanRequest', description: 'without a store: all of them', additionalProperties: false },
);

export const RescanAnswerSchema = shape('RescanAnswer', { rescanning: Type.Array(Type.String()) });
