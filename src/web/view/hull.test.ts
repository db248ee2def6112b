import { describe, expect, it } from 'vitest';
import type { StoreView } from '#wire';
import { amounts, heightOf, hullOf } from './hull.ts';

/** Only the fields that the drawing uses. */
function aStore(figures: Partial<StoreView> & { readonly left?: number | null }): StoreView {
  const { left = 100, ...rest } = figures;
  const store = { size: 1000, used: 400, available: 600, allocation: 300, residual: 350, reserved: 50, floor: 100, ...rest };
  return {
    ...store,
    sum: { policy: 'promise', components: [], remaining: left, unknown: left === null ? 'why' : null },
  } as unknown as StoreView;
}

describe('hullOf()', () => {
  it('stacks others, images, residual and reserved from the keel up, without gaps', () => {
    expect(hullOf(aStore({})).layers).toEqual([
      { cargo: 'others', from: 0, to: 100 },
      { cargo: 'images', from: 100, to: 400 },
      { cargo: 'residual', from: 400, to: 750 },
      { cargo: 'reserved', from: 750, to: 800 },
    ]);
  });

  it('has its load line at size - floor, and under the policy promise its waterline on top of the cargo', () => {
    expect(hullOf(aStore({}))).toMatchObject({ deck: 1000, loadLine: 900, waterline: 800, freeboard: 100, isCut: false });
  });

  it('draws space that is neither used nor available as its own layer, so that the waterline still meets the cargo', () => {
    const hull = hullOf(aStore({ available: 550, left: 50 }));
    expect(hull.layers.find(({ cargo }) => cargo === 'kept')).toEqual({ cargo: 'kept', from: 100, to: 150 });
    expect(hull.waterline).toBe(hull.layers.at(-1)?.to);
  });

  it('has its waterline above its load line when overcommitted, and the drawing includes it', () => {
    const hull = hullOf(aStore({ residual: 700, left: -250 }));
    expect(hull).toMatchObject({ waterline: 1150, freeboard: -250, isCut: false });
    expect(hull.top).toBeGreaterThan(1150);
  });

  it('is cut off where the cargo would reduce the hull to a line', () => {
    const hull = hullOf(aStore({ residual: 90_000, left: -89_550 }));
    expect(hull.isCut).toBe(true);
    expect(hull.top).toBeLessThan(2000);
  });

  it('has no waterline while the sum is unknown, and no layer for an unknown figure', () => {
    const hull = hullOf(aStore({ residual: null, left: null }));
    expect([hull.waterline, hull.freeboard]).toEqual([null, null]);
    expect(hull.layers.map(({ cargo }) => cargo)).toEqual(['others', 'images', 'reserved']);
  });

  it.each([
    ['images that share or compress to less than their allocation', { allocation: 900 }],
    ['a store of no bytes', { size: 0, used: 0, available: 0, allocation: 0, residual: 0, reserved: 0, floor: 0, left: 0 }],
    ['a floor above the size', { floor: 5000, left: -4000 }],
  ])('can be drawn with %s', (_name, figures) => {
    const hull = hullOf(aStore(figures));
    expect(hull.top).toBeGreaterThan(0);
    expect(hull.loadLine).toBeGreaterThanOrEqual(0);
    for (const layer of hull.layers) expect(layer.to).toBeGreaterThan(layer.from);
  });
});

describe('amounts()', () => {
  it('never counts others below zero', () => {
    expect(amounts(aStore({ allocation: 900 })).filter(([, bytes]) => bytes < 0)).toEqual([]);
  });
});

describe('heightOf()', () => {
  it('maps the keel to the bottom, the top to the top, and everything else between them', () => {
    const hull = hullOf(aStore({}));
    expect([heightOf(hull, 0, 10, 200), heightOf(hull, hull.top, 10, 200), heightOf(hull, hull.top * 9, 10, 200)]).toEqual([200, 10, 10]);
  });
});
