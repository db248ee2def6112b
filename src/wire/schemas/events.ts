/** Server-sent events. */
import { type TProperties, Type } from 'typebox';
import { ReservationSchema } from './admission.ts';
import { shape, nullable, Count, HostId, HostSchema } from './common.ts';
import { ImageViewSchema } from './images.ts';
import { AlertSchema, StoreViewSchema } from './stores.ts';

const event = <T extends string, P extends TProperties>(type: T, properties: P) =>
  Type.Object({ type: Type.Literal(type), host: HostId, ...properties });

/** The data of one server-sent event; `event:` repeats its type. */
export const ServeEventSchema = Type.Union(
  [
    event('store', { store: StoreViewSchema }),
    event('image', { image: ImageViewSchema }),
    event('image-gone', { store: Type.String(), id: Type.String(), path: Type.String() }),
    event('alert', { alert: AlertSchema, state: Type.Enum(['raised', 'cleared']) }),
    event('reservation', { reservation: ReservationSchema }),
    event('scan', {
      store: nullable(Type.String()),
      filesSeen: Count,
      imagesRead: Count,
      ended: Type.Boolean(),
    }),
  ],
  { title: 'ServeEvent' },
);

/** The first event of every subscription. */
export const HelloEventSchema = shape('HelloEvent', { type: Type.Literal('hello'), host: HostSchema, stores: Type.Array(StoreViewSchema) });
