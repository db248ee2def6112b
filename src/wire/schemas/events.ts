/** Server-sent events. */
import { Type } from 'typebox';
import { ReservationSchema } from './admission.ts';
import { shape, nullable, Count } from './common.ts';
import { ImageViewSchema } from './images.ts';
import { AlertSchema, StoreViewSchema } from './stores.ts';

/** The data of one server-sent event; `event:` repeats its type. */
export const ServeEventSchema = Type.Union(
  [
    Type.Object({ type: Type.Literal('store'), store: StoreViewSchema }),
    Type.Object({ type: Type.Literal('image'), image: ImageViewSchema }),
    Type.Object({ type: Type.Literal('image-gone'), store: Type.String(), id: Type.String(), path: Type.String() }),
    Type.Object({ type: Type.Literal('alert'), alert: AlertSchema, state: Type.Enum(['raised', 'cleared']) }),
    Type.Object({ type: Type.Literal('reservation'), reservation: ReservationSchema }),
    Type.Object({
      type: Type.Literal('scan'),
      store: nullable(Type.String()),
      filesSeen: Count,
      imagesRead: Count,
      ended: Type.Boolean(),
    }),
  ],
  { title: 'ServeEvent' },
);

/** The first event of every subscription. */
export const HelloEventSchema = shape('HelloEvent', { type: Type.Literal('hello'), stores: Type.Array(StoreViewSchema) });
